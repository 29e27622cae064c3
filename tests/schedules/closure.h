/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_SCHEDULES_CLOSURE_H
#define GROUPSEAL_TESTS_SCHEDULES_CLOSURE_H

#include "secenv/tree.h"

/*
 * All that follows from some secrets and everything that was ever published: of each secret, the secrets of
 * the nodes above it that could be derived from it, and what was wrapped for any of them; and of these the
 * same, until nothing new comes. Every secret is tried on every wrap that nobody has opened yet, wherever in
 * the tree it was meant to lie. What fails in it ends the program.
 */
struct closure;

/* `height`: of the highest tree that there was; so often a secret can go up. */
struct closure *closure_new(uint32_t height);
void closure_free(struct closure *closure);

/* Published: the wraps of packed nodes, or one alone. Before anything is learned. */
void closure_packed(struct closure *closure, struct bytes packed);
void closure_wrap(struct closure *closure, const uint8_t wrap[WRAP_SIZE]);

void closure_learn(struct closure *closure, const struct secret *secret);
bool closure_knows(const struct closure *closure, const struct secret *secret);
size_t closure_size(const struct closure *closure);                         /* secrets that are known … */
struct secret closure_secret(const struct closure *closure, size_t number); /* … one of them */

#endif
