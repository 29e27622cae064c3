/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_FUZZ_MESSAGE_H
#define GROUPSEAL_TESTS_FUZZ_MESSAGE_H

#include "dice.h"

#include "secenv/arena.h"

/* What fields of a made message hold, so that some of them fit the state that it meets. */
struct vocabulary {
    const char *const *texts; /* the first is taken where the input ends: "" */
    size_t text_count;
    const struct bytes *octets;
    size_t octets_count;
    const uint64_t *numbers;
    size_t number_count;
};

/* A message of any type, each field as the dice say: empty, of the vocabulary, or bytes of the input. Lives
 * in the arena; NULL where that is full. */
void *message_make(const ProtobufCMessageDescriptor *type, const struct vocabulary *words, struct dice *dice,
                   struct arena *arena);

#endif
