/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/refresh.h"

#include "secenv/authority/authority.h"

#define DAY_MS UINT64_C(86400000)
#define SECOND_US UINT64_C(1000000)
#define REFRESH_AGAIN_LEAST_US (10 * SECOND_US)
#define WHY_AGE 2u /* in REAUTHENTICATE */

/* A part of the age, within limits: with an age of 30 days it is the upper one. */
static uint64_t age_part(const struct engine *engine, uint64_t divisor, uint64_t least_us, uint64_t limit_us)
{
    uint64_t part_us = engine->settings.leaf_age_s * SECOND_US / divisor;
    part_us = part_us < least_us ? least_us : part_us;
    return part_us > limit_us ? limit_us : part_us;
}

/* ---- who is due ---- */

struct look {
    const struct engine *engine;
    uint64_t wall_ms;
    uint64_t now_us;
    struct peer *due[REFRESH_EACH];
    size_t count;
};

/* The association's random id says where in the last tenth. One that claims to be of the future was made by a
 * clock that was wrong: nobody knows how old it is. */
static bool association_is_old(const struct look *look, const struct association *association)
{
    uint64_t age_ms = look->engine->settings.leaf_age_s * UINT64_C(1000);
    const uint8_t *id = association->agreement.id;
    uint64_t early_ms = age_ms / 10 * ((uint64_t)id[0] << 8 | id[1]) / 65536;
    return association->made_ms + age_ms - early_ms <= look->wall_ms ||
           association->made_ms > look->wall_ms + DAY_MS;
}

static void peer_look(void *context, struct peer *peer)
{
    struct look *look = context;
    uint64_t again_us = age_part(look->engine, 24, REFRESH_AGAIN_LEAST_US, REFRESH_ROUND_US);
    bool asked = peer->asked_us != 0 && look->now_us - peer->asked_us < again_us;
    if (look->count < REFRESH_EACH && !asked && peer->pending == NULL && peer->current != NULL &&
        association_is_old(look, peer->current)) {
        look->due[look->count++] = peer;
    }
}

/* ---- asking ---- */

/* One whose outbox is full is away: what is in it comes first, and a later round asks again. */
static enum result peer_ask(struct engine *engine, struct peer *peer, uint64_t now_us, struct reason *why)
{
    struct reason full = {""};
    enum result result = member_ask_anew(engine, peer->name, WHY_AGE, &full);
    peer->asked_us = now_us;
    return result == RESULT_FULL || result == RESULT_OK ? RESULT_OK
                                                        : result_fail(why, result, "%s", full.text);
}

void refresh_hurry(struct engine *engine)
{
    engine->refresh.due_us = 0;
}

static enum result round_make(struct engine *engine, uint64_t now_us, struct reason *why)
{
    struct look look = {.engine = engine, .wall_ms = clock_wall_ms(engine->clock), .now_us = now_us};
    peers_each(&engine->peers, peer_look, &look);
    for (size_t i = 0; i < look.count; i++) {
        GUARD(peer_ask(engine, look.due[i], now_us, why));
    }
    if (look.count > 0) {
        log_line(LOG_LEVEL_INFO, "%zu members are asked for a new authentication: their leaves are old",
                 look.count);
    }
    engine->refresh.due_us =
        now_us +
        (look.count == REFRESH_EACH ? REFRESH_PAUSE_US : age_part(engine, 720, SECOND_US, REFRESH_ROUND_US));
    return RESULT_OK;
}

enum result refresh_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    uint64_t now_us = clock_monotonic_us(engine->clock);
    if (engine->settings.leaf_age_s == 0) {
        return RESULT_OK;
    }
    if (engine->refresh.due_us <= now_us) {
        GUARD(round_make(engine, now_us, why));
    }
    *next = engine->refresh.due_us < *next ? engine->refresh.due_us : *next;
    return RESULT_OK;
}

uint64_t refresh_collected(const struct engine *engine, struct peer *peer)
{
    if (peer == NULL || peer->asked_us == 0) {
        return 0;
    }
    peer->asked_us = 0;
    return clock_monotonic_us(engine->clock) + age_part(engine, 20, SECOND_US, REFRESH_COLLECT_US);
}
