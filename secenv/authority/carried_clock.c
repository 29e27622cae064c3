/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/carried_clock.h"

#include "secenv/authority/authority.h"

#define CHAIN_LIMIT ((size_t)64 * 1024)

const char carried_clock_schema[] = "CREATE TABLE IF NOT EXISTS carried_clock ("
                                    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
                                    "  wall_us INTEGER NOT NULL," /* 0: nothing was signed yet */
                                    "  doubted INTEGER NOT NULL"
                                    ");";

/* ---- the time ---- */

static uint64_t since(uint64_t now_us, uint64_t then_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

/* Where the monotonic clock has brought the time that was given last. */
static uint64_t carried_us(const struct carried_clock *clock, uint64_t now_us)
{
    return clock->wall_us + since(now_us, clock->monotonic_us);
}

static uint64_t forward_bound_us(const struct carried_clock *clock, uint64_t now_us)
{
    bool fresh = since(now_us, clock->started_us) < CARRIED_START_US;
    return fresh && !clock->doubted_before ? CARRIED_OFF_US : CARRIED_FORWARD_US;
}

static bool system_is_plausible(const struct carried_clock *clock, uint64_t system_us, uint64_t now_us)
{
    uint64_t carried = carried_us(clock, now_us);
    if (clock->kept_us == 0) {
        return true;
    }
    return system_us + CARRIED_BACK_US >= carried &&
           since(system_us, carried) <= forward_bound_us(clock, now_us);
}

static uint64_t carried_wall_us(void *context)
{
    struct carried_clock *clock = context;
    uint64_t now_us = clock_monotonic_us(clock->system);
    uint64_t system_us = clock_wall_us(clock->system);
    clock->doubted = !system_is_plausible(clock, system_us, now_us);
    if (clock->doubted) {
        clock->wall_us = carried_us(clock, now_us);
    } else {
        clock->wall_us = system_us > clock->wall_us || clock->kept_us == 0 ? system_us : clock->wall_us;
        clock->doubted_before = false;
    }
    clock->monotonic_us = now_us;
    return clock->wall_us;
}

static uint64_t carried_monotonic_us(void *context)
{
    const struct carried_clock *clock = context;
    return clock_monotonic_us(clock->system);
}

/* ---- the store ---- */

static enum result clock_row(void *context, const struct store_row *row, struct reason *why)
{
    struct carried_clock *clock = context;
    (void)why;
    clock->kept_us = row_u64(row, 0);
    clock->kept_doubted = row_int(row, 1) != 0;
    return RESULT_OK;
}

enum result carried_clock_reload(struct carried_clock *clock, struct store *store, struct reason *why)
{
    clock->kept_us = 0;
    clock->kept_doubted = clock->told = false;
    return store_query(store, why, clock_row, clock, "SELECT wall_us, doubted FROM carried_clock", "");
}

enum result carried_clock_open(struct carried_clock *clock, struct store *store,
                               const struct clock_source *system, struct reason *why)
{
    *clock = (struct carried_clock){
        .source = {carried_wall_us, carried_monotonic_us, clock},
        .system = system,
        .monotonic_us = clock_monotonic_us(system),
        .started_us = clock_monotonic_us(system),
        .certificate_until = UINT64_MAX,
    };
    GUARD(carried_clock_reload(clock, store, why));
    clock->wall_us = clock->kept_us;
    clock->doubted_before = clock->kept_doubted;
    return RESULT_OK;
}

static enum result clock_keep(struct carried_clock *clock, struct store *store, uint64_t wall_us,
                              bool doubted, struct reason *why)
{
    GUARD(store_run(store, why,
                    "INSERT OR REPLACE INTO carried_clock (one, wall_us, doubted) VALUES (1, ?, ?)", "ui",
                    wall_us, (int64_t)doubted));
    clock->kept_us = wall_us;
    clock->kept_doubted = doubted;
    return RESULT_OK;
}

/* ---- what is signed ---- */

enum result carried_clock_certificate(struct carried_clock *clock, const struct identity *identity,
                                      struct reason *why)
{
    struct bytes rest = buffer_bytes(&identity->chain);
    struct buffer der = BUFFER_EMPTY(CHAIN_LIMIT);
    struct certificate certificate;
    enum result result = pem_next(&rest, "CERTIFICATE", &der);
    if (result == RESULT_OK) {
        result = certificate_parse(buffer_bytes(&der), &certificate);
    }
    if (result == RESULT_OK) {
        clock->certificate_from = certificate.not_before;
        clock->certificate_until = certificate.not_after;
    }
    buffer_clear(&der);
    return result == RESULT_OK
               ? RESULT_OK
               : result_fail(why, result, "the certificate of %s cannot be read", identity->name);
}

enum result carried_clock_sign(struct engine *engine, uint64_t *ms, struct reason *why)
{
    struct carried_clock *clock = &engine->time;
    uint64_t wall_us = clock_wall_us(&clock->source);
    GUARD(clock_keep(clock, engine->store, wall_us, clock->kept_doubted, why));
    *ms = wall_us / 1000u;
    if (*ms / 1000u >= clock->certificate_until) {
        *ms = (clock->certificate_until - 1) * 1000u;
    }
    return RESULT_OK;
}

/* ---- doubt ---- */

static enum result doubt_tell(struct engine *engine, uint64_t wall_us)
{
    char system[CERTIFICATE_TIME_SIZE];
    char carried[CERTIFICATE_TIME_SIZE];
    certificate_time_text(clock_wall_us(engine->time.system) / 1000000u, system);
    certificate_time_text(wall_us / 1000000u, carried);
    if (!engine->time.doubted) {
        return authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__INFO,
                                "the system clock says %s and is followed again", system);
    }
    audit_count(AUDIT_CLOCK_DOUBTED);
    return authority_notice(
        engine, GROUPSEAL__SECENV__SEVERITY__ALARM,
        "the system clock says %s, which does not follow on what was signed: the time is "
        "carried on without it, now %s. Set the clock, or accept it (in-cse clock accept)",
        system, carried);
}

static enum result doubt_turn(struct engine *engine, uint64_t wall_us, struct reason *why)
{
    struct carried_clock *clock = &engine->time;
    bool changed = clock->doubted != clock->kept_doubted;
    if (changed) {
        GUARD(clock_keep(clock, engine->store, wall_us, clock->doubted, why));
    }
    if (changed || (clock->doubted && !clock->told)) {
        GUARD(doubt_tell(engine, wall_us));
    }
    clock->told = clock->doubted;
    return RESULT_OK;
}

enum result carried_clock_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    struct carried_clock *clock = &engine->time;
    uint64_t wall_us = clock_wall_us(&clock->source);
    uint64_t look_us = clock->monotonic_us + CARRIED_LOOK_US;
    GUARD(doubt_turn(engine, wall_us, why));
    if (clock->kept_us != 0 && since(wall_us, clock->kept_us) >= CARRIED_KEEP_US) {
        GUARD(clock_keep(clock, engine->store, wall_us, clock->doubted, why));
    }
    *next = look_us < *next ? look_us : *next;
    return RESULT_OK;
}

/* ---- operator ---- */

static enum result accept_check(const struct engine *engine, uint64_t system_us, bool back,
                                struct reason *why)
{
    const struct carried_clock *clock = &engine->time;
    uint64_t seconds = system_us / 1000000u;
    char when[CERTIFICATE_TIME_SIZE];
    if (!clock->doubted) {
        return result_fail(why, RESULT_EXISTS, "the system clock is not in doubt");
    }
    if (seconds < clock->certificate_from || seconds >= clock->certificate_until) {
        bool early = seconds < clock->certificate_from;
        certificate_time_text(early ? clock->certificate_from : clock->certificate_until, when);
        return result_fail(why, RESULT_REFUSED,
                           "the certificate of %s %s %s: no member could authenticate at the system clock's "
                           "time; set the clock, or renew the certificate",
                           engine->identity.name, early ? "is not valid before" : "ends on", when);
    }
    for (size_t i = 0; back && i < engine->groups.count; i++) {
        if (engine->groups.items[i]->held) {
            return result_fail(why, RESULT_NOT_READY,
                               "group %s is held until an MN-CSE has said what it holds: try again then, or "
                               "release it",
                               engine->groups.items[i]->name);
        }
    }
    return RESULT_OK;
}

static enum result system_accept(struct engine *engine, struct reason *why)
{
    struct carried_clock *clock = &engine->time;
    uint64_t wall_us = clock_wall_us(&clock->source);
    uint64_t system_us = clock_wall_us(clock->system);
    bool back = system_us < wall_us;
    char system[CERTIFICATE_TIME_SIZE];
    GUARD(accept_check(engine, system_us, back, why));
    certificate_time_text(system_us / 1000000u, system);
    if (back) {
        GUARD(incarnation_renew_groups(engine, why));
    }
    GUARD(authority_notice(engine, GROUPSEAL__SECENV__SEVERITY__WARNING,
                           "the system clock is accepted by the operator: it is %s%s", system,
                           back ? ", earlier than what was signed, so all groups get new keys" : ""));
    GUARD(clock_keep(clock, engine->store, system_us, false, why));
    clock->wall_us = system_us;
    clock->doubted = clock->doubted_before = clock->told = false;
    return RESULT_OK;
}

enum result carried_clock_request(struct engine *engine, const Groupseal__Secenv__Clock *request,
                                  struct arena *arena, Groupseal__Secenv__ClockReply **out,
                                  struct reason *why)
{
    struct carried_clock *clock = &engine->time;
    Groupseal__Secenv__ClockReply *reply = arena_alloc(arena, sizeof(*reply));
    if (reply == NULL) {
        return RESULT_INTERNAL;
    }
    if (request->accept) {
        GUARD(system_accept(engine, why));
    }
    groupseal__secenv__clock_reply__init(reply);
    reply->time_ms = clock_wall_ms(&clock->source);
    reply->system_ms = clock_wall_ms(clock->system);
    reply->doubted = clock->doubted;
    reply->until_ms = clock->certificate_until * 1000u;
    *out = reply;
    return RESULT_OK;
}
