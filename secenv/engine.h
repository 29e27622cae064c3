/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_ENGINE_H
#define GROUPSEAL_SECENV_ENGINE_H

#include "secenv.pb-c.h"
#include "secenv/arena.h"
#include "secenv/clock.h"
#include "secenv/store.h"

/*
 * What a profile (authority, member) gives the service, and what the service gives it. The
 * engine knows nothing of sockets: tests drive engines directly, many in a process, with a clock of
 * their own. One thread.
 *
 * The service: store_begin; for each ready request: store_savepoint, engine_request,
 * store_release or rollback; engine_turn; store_commit; only then replies and events go out (but see
 * emit_early). A commit that fails ends the process (the owner starts it again from what is on disk).
 *
 * A request that returns other than OK has changed neither store (rolled back to the savepoint) nor
 * memory (the engine: look first, write the store, then memory).
 */
enum socket_kind { SOCKET_OWNER = 1, SOCKET_OPERATOR = 2, SOCKET_AUDIT = 3 };

/* Where a request came from; `connection` names it for events. */
struct engine_caller {
    enum socket_kind socket;
    uint64_t connection;
};

/* Takes an event (copied by packing it at once). `connection` 0: the owner's. Events of a request that is
 * rolled back are dropped. */
struct engine_events {
    enum result (*emit)(void *context, uint64_t connection, const Groupseal__Secenv__Event *event);
    /* One that may leave while the commit is on its way to the disk: where that is lost, all is as if the
     * event had been delayed, because whoever caused it causes it again. It leaves early only where nothing
     * of the batch comes before it and the transaction is not held (store_hold). */
    enum result (*emit_early)(void *context, uint64_t connection, const Groupseal__Secenv__Event *event);
    void *context;
};

struct engine;

struct engine_operations {
    /* `request` lives in `arena`, `reply` is initialised, with its id; fill content, code and reason stay the
     * service's, from the result and `why`. Online, Hello, Status come here too (Hello: fill Welcome). */
    enum result (*request)(struct engine *engine, const struct engine_caller *caller,
                           const Groupseal__Secenv__ToSecenv *request, struct arena *arena,
                           Groupseal__Secenv__Reply *reply, struct reason *why);
    /* Once a batch, and when `*next` comes: timers, outbox, changes that were collected. Sets `*next`
     * (monotonic microseconds, UINT64_MAX: nothing is due). Its failure ends the process. */
    enum result (*turn)(struct engine *engine, struct arena *arena, uint64_t *next, struct reason *why);
    /* The connection is gone: forget it for events; an owner's loss takes every identity offline. */
    void (*disconnected)(struct engine *engine, const struct engine_caller *caller);
    void (*close)(struct engine *engine); /* wipes */
};

struct engine_setup {
    struct store *store; /* open, with the profile's schemas; the engine does not close it */
    const struct clock_source *clock;
    struct engine_events events;
};

/* Each profile's entry. */
extern const struct engine_operations authority_operations;
extern const char *const authority_schemas[];
extern const size_t authority_schema_count;
enum result authority_engine_open(const struct engine_setup *setup, struct engine **out,
                                  struct reason *why) MUST_USE;

extern const struct engine_operations member_operations;
extern const char *const member_schemas[];
extern const size_t member_schema_count;
enum result member_engine_open(const struct engine_setup *setup, struct engine **out,
                               struct reason *why) MUST_USE;

#endif
