/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_LARGE_GROUP_H
#define GROUPSEAL_BENCH_LARGE_GROUP_H

#include "secenv/objects/object.h"
#include "tests/unit/site.h"

/*
 * A group of many members on the site of tests/unit/site.h: the authority's engine with its durable store, a
 * real MN-CSE, and some real devices. All others are there for the authority alone: they come the way that
 * engine takes everybody (roster rows, member_present, changes, packages), but without the handshake that
 * leads there, with a random association and signing key; and what is put into their outbox is dropped, as
 * when they have taken it. What goes wrong ends the program.
 */
#define LARGE_GROUP "doors"
#define LARGE_SITE "mn-1"

#define LARGE_SITES_LIMIT 8u

struct large_group {
    struct site *site;
    struct site_node *mn; /* the first one */
    size_t site_count;
    size_t bulk;     /* members without an engine so far */
    bool can_sign;   /* set before they come: their signing keys are large_group_key's, not random */
    bool associated; /* likewise: the authority keeps their associations */
};

void large_group_open(struct large_group *large); /* the MN-CSE is its only member */
/* With so many MN-CSEs, mn-1, mn-2 …; members without an engine are spread over them. */
void large_group_open_sites(struct large_group *large, size_t sites);
/* Number 0 is `mn`. */
struct site_node *large_group_mn(const struct large_group *large, size_t number);
void large_group_close(struct large_group *large);

/* A real device, number `number`. */
struct site_node *large_group_device(struct large_group *large, size_t number);
/* `count` more members without an engine; they take the lowest free leaves. */
void large_group_fill(struct large_group *large, size_t count);
/* For what is not measured: no commit of authority and MN-CSE waits for the disk. */
void large_group_hurry(struct large_group *large, bool hurry);
/* large_group_fill of very many, in a hurry; the MN-CSE is away meanwhile, and then gets all at once. */
void large_group_build(struct large_group *large, size_t count);

void large_group_name(size_t number, char out[NAME_LIMIT + 1]);
void large_group_key(size_t number, struct signing_key *out);

size_t large_group_count(struct large_group *large); /* of leaves */
/* The member that has this leaf. */
void large_group_member_at(struct large_group *large, uint32_t leaf_index, char out[NAME_LIMIT + 1]);
/* Bytes of the authority's store that the group's tree takes; and all of it. */
uint64_t large_group_tree_bytes(struct large_group *large);
uint64_t large_group_store_bytes(struct large_group *large);

/* Evicts by the operator's word, up to 1,024 with a request, and lets everything come to rest. The CPU time
 * of the authority in these requests, with the changes and the commit that they bring about. */
uint64_t large_group_evict(struct large_group *large, char (*names)[NAME_LIMIT + 1], size_t count);

/* The device has climbed to the key that the MN-CSE has. */
bool large_group_has_key(const struct large_group *large, struct site_node *device);

#endif
