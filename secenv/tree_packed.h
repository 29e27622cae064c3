/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_TREE_PACKED_H
#define GROUPSEAL_SECENV_TREE_PACKED_H

#include "secenv/tree.h"

/*
 * A block as it is published (docs/protocol.md section 5): two maps of 15 places, and the wraps. A place is a
 * node, the lowest level first, each from left to right. `step` is a level within the block, 0 … 3.
 * All but tree_packed_check (tree.h) take what that has found right.
 */
#define PACKED_MAP_SIZE 4u  /* 15 places of 2 bits, the last two bits zero */
#define PACKED_MAPS_SIZE 8u /* sources, wraps */

enum packed_source { SOURCE_EMPTY = 0, SOURCE_LEFT = 1, SOURCE_RIGHT = 2, SOURCE_FRESH = 3 };

/* Of the wraps map: the bit of a side, 0 left, 1 right. */
unsigned packed_side(unsigned side);

uint32_t packed_places_at(uint32_t step);
uint32_t packed_place(uint32_t step, uint32_t i);

unsigned packed_source(const uint8_t maps[PACKED_MAPS_SIZE], uint32_t place);
unsigned packed_wraps(const uint8_t maps[PACKED_MAPS_SIZE], uint32_t place);
/* Into maps that are zero there. */
void packed_set(uint8_t maps[PACKED_MAPS_SIZE], uint32_t place, unsigned source, unsigned wraps);

/* The length of all, as the maps say; of maps that nobody has checked, too: TREE_PACKED_MAX and one node's
 * wraps at most. */
size_t packed_length(const uint8_t maps[PACKED_MAPS_SIZE]);
/* The wrap of one side of a place, which is there. */
const uint8_t *packed_wrap(struct bytes packed, uint32_t place, unsigned side);

/* Which children of a node are in use, as its own edge says. Bits as in the wraps map. */
unsigned packed_children(unsigned source, unsigned wraps);

#endif
