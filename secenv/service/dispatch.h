/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_DISPATCH_H
#define GROUPSEAL_SECENV_SERVICE_DISPATCH_H

#include "secenv/engine.h"

#define PACKET_LIMIT 65536u
#define HELLO_VERSION 1u

/* What of a connection decides which requests it may make. */
struct dispatch_state {
    enum socket_kind socket;
    bool greeted;     /* Hello was answered with OK */
    uint64_t last_id; /* ids rise */
};

/*
 * The bounded parser of what a client sends (a fuzz target): at most PACKET_LIMIT bytes, one ToSecenv, with
 * an id and a request of this program's format. The message lives in the arena.
 */
enum result dispatch_parse(struct bytes packet, struct arena *arena, Groupseal__Secenv__ToSecenv **out,
                           struct reason *why) MUST_USE;

/*
 * The closed table: RESULT_REFUSED where a connection in this state may not make this request, or its id does
 * not rise; the connection must end then. Changes nothing.
 */
enum result dispatch_check(const struct dispatch_state *state, enum store_profile profile,
                           const Groupseal__Secenv__ToSecenv *request, struct reason *why) MUST_USE;

#endif
