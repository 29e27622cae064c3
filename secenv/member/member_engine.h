/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_MEMBER_ENGINE_H
#define GROUPSEAL_SECENV_MEMBER_MEMBER_ENGINE_H

#include "secenv/engine.h"
#include "secenv/member/agenda.h"
#include "secenv/member/command_clock.h"
#include "secenv/moderation.h"
#include "secenv/outbox.h"

struct identity_state;

/*
 * The member's engine: every identity of one secure environment. Memory is a cache of the store: where a
 * step fails after it changed memory, the identity is read again from the store (identity_state_reload).
 */
struct engine {
    struct engine_setup setup;
    struct outbox *outbox;
    struct arena *scratch; /* of one item of a turn: reset after each */
    struct command_clock command_clock;
    struct identity_state **identities; /* in byte order of their names */
    size_t identity_count;
    struct agenda agenda;
    struct moderation refusals; /* notices of them */
    struct moderation lines;    /* of what was heard and refused */
    uint64_t next_token;        /* of Send events */
    uint64_t started_ms;        /* wall clock */
};

#define MEMBER_ARENA_LIMIT ((size_t)512 * 1024)
#define NEVER UINT64_MAX

static inline uint64_t engine_now_us(const struct engine *engine)
{
    return clock_monotonic_us(engine->setup.clock);
}

/* The identity of this name, or NULL. */
struct identity_state *engine_identity(const struct engine *engine, const char *name);

/* A uniformly drawn number below `bound` (0 where that is 0); for jitter, not for keys. */
uint64_t engine_draw(uint64_t bound);

#endif
