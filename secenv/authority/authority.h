/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_AUTHORITY_H
#define GROUPSEAL_SECENV_AUTHORITY_AUTHORITY_H

#include "secenv/authority/admission.h"
#include "secenv/authority/arrears.h"
#include "secenv/authority/carried_clock.h"
#include "secenv/authority/farewell.h"
#include "secenv/authority/ferry.h"
#include "secenv/authority/group.h"
#include "secenv/authority/incarnation.h"
#include "secenv/authority/keys.h"
#include "secenv/authority/member.h"
#include "secenv/authority/notices.h"
#include "secenv/authority/peer.h"
#include "secenv/authority/refresh.h"
#include "secenv/authority/report_page.h"
#include "secenv/authority/revocation.h"
#include "secenv/authority/settings.h"
#include "secenv/engine.h"
#include "secenv/limits.h"
#include "secenv/log.h"
#include "secenv/outbox.h"

/*
 * The authority's engine: the key server of one IN-CSE. The store is the truth: members, groups, leaves,
 * orders and the outbox are rows; a group's next change is derived from the difference between who belongs to
 * it and who has a leaf, so that a restart at any moment goes on where it was. Memory holds what cannot be a
 * row: handshakes, associations with their counters, trees, and who watches an order.
 */
struct engine {
    struct store *store;
    struct carried_clock time;
    const struct clock_source *clock; /* of `time` */
    struct engine_events events;
    struct identity identity; /* the IN-CSE, certificate mode */
    struct limits limits;     /* of its owner: the rule "*" counts */
    struct bucket onlines;    /* that the owner said */
    struct authority_keys keys;
    struct handshake_context *tls; /* both modes, each in a context of its own */
    struct settings settings;
    struct outbox *outbox;
    struct peers peers;
    struct admission admission;
    struct groups groups;
    uint8_t start[INCARNATION_START_SIZE]; /* random, of this start */
    uint64_t incarnation;                  /* the last that was taken; 0: none */
    uint64_t newer; /* incarnation of news that this store does not know; 0: none came */
    struct refresh refresh;
    struct revocations revocations;
    struct watches watches;
    struct ferry ferry;
    struct farewells farewells;
    struct arrears arrears;
    struct notices notices;
    struct arena *scratch; /* of one step of a turn */
    int evictions;         /* the append-only file, open; -1: not yet */
    bool online;
    bool changed; /* the request has changed a group */
    bool stale;   /* a request or turn failed half-way: what is in memory is loaded anew */
};

/* What the owner must be told, now: log, and a Notice on its connection. */
enum result authority_notice(struct engine *engine, Groupseal__Secenv__Severity severity, const char *format,
                             ...) MUST_USE __attribute__((format(printf, 3, 4)));

/* True for failures of our own (store, memory); false where the other side is at fault. */
bool authority_own_fault(enum result result);

/* Lower-case hexadecimal in the arena; NULL when the arena is full. */
char *authority_hex(struct arena *arena, struct bytes bytes) MUST_USE;

#endif
