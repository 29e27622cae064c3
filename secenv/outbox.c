/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/outbox.h"

#include "secenv/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The store has the truth: one row an item, found by (owner, peer, slot). In memory there is only when
 * each slot is due. A row always has its timer; a timer whose row is gone (accepted, dropped, or rolled back
 * with its request) is found out and removed when it is due. So nothing here has to be undone with a request.
 */
const char outbox_schema[] = "CREATE TABLE IF NOT EXISTS outbox ("
                             " item INTEGER PRIMARY KEY AUTOINCREMENT,"
                             " owner TEXT NOT NULL,"
                             " peer TEXT NOT NULL,"
                             " slot TEXT NOT NULL,"
                             " body BLOB NOT NULL," /* sealed */
                             " UNIQUE (owner, peer, slot));";

#define RUN_LIMIT 256u /* items sent in one turn: a batch must not grow without bound */
#define BUCKETS 4096u
#define SLOT_SIZE 128u
#define BODY_LIMIT_PACKED ((size_t)OBJECT_LIMIT - 320) /* with its number it still fits association_seal */
#define SECOND_US UINT64_C(1000000)
#define BACKOFF_LAST_US (60 * SECOND_US)
#define NEVER UINT64_MAX

struct peer;

struct timer {
    struct peer *peer;
    struct timer *next;  /* of the same peer */
    uint64_t due;        /* monotonic microseconds; NEVER: waits for outbox_kick */
    uint64_t turn;       /* of those due at one time, the first that was put goes first */
    size_t place;        /* in the heap */
    unsigned attempts;   /* since it was put or kicked: the back-off */
    unsigned unanswered; /* of these, without an answer */
    char slot[];
};

/* Kept until the end: there are no more than the roster has names. */
struct peer {
    struct peer *next;          /* in its bucket */
    struct peer *next_of_owner; /* in its owner's bucket */
    struct timer *timers;
    size_t count;
    char *owner;
    char *peer;
};

struct outbox {
    struct store *store;
    const struct clock_source *clock;
    struct peer *buckets[BUCKETS]; /* by owner and peer */
    struct peer *owners[BUCKETS];  /* by owner */
    struct timer **heap;           /* the earliest first */
    size_t count;
    size_t capacity;
    uint64_t turns;   /* given */
    size_t under_way; /* as the owner of the outbox has it */
};

/* ---- the heap of timers ---- */

static bool timer_before(const struct timer *a, const struct timer *b)
{
    return a->due != b->due ? a->due < b->due : a->turn < b->turn;
}

static void heap_put(struct outbox *outbox, size_t place, struct timer *timer)
{
    outbox->heap[place] = timer;
    timer->place = place;
}

static void heap_settle(struct outbox *outbox, struct timer *timer)
{
    size_t place = timer->place;
    while (place > 0 && timer_before(timer, outbox->heap[(place - 1) / 2])) {
        heap_put(outbox, place, outbox->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < outbox->count && timer_before(outbox->heap[child + 1], outbox->heap[child])) {
            child++;
        }
        if (child >= outbox->count || !timer_before(outbox->heap[child], timer)) {
            break;
        }
        heap_put(outbox, place, outbox->heap[child]);
        place = child;
    }
    heap_put(outbox, place, timer);
}

static enum result heap_add(struct outbox *outbox, struct timer *timer)
{
    if (outbox->count == outbox->capacity) {
        size_t capacity = outbox->capacity == 0 ? 64 : outbox->capacity * 2;
        struct timer **heap = realloc(outbox->heap, capacity * sizeof(struct timer *));
        if (heap == NULL) {
            return RESULT_INTERNAL;
        }
        outbox->heap = heap;
        outbox->capacity = capacity;
    }
    heap_put(outbox, outbox->count++, timer);
    heap_settle(outbox, timer);
    return RESULT_OK;
}

static void heap_remove(struct outbox *outbox, struct timer *timer)
{
    struct timer *last = outbox->heap[--outbox->count];
    if (last != timer) {
        heap_put(outbox, timer->place, last);
        heap_settle(outbox, last);
    }
}

static void timer_set(struct outbox *outbox, struct timer *timer, uint64_t due)
{
    timer->due = due;
    heap_settle(outbox, timer);
}

/* ---- peers ---- */

/* FNV-1a over both texts with their ends; a NULL peer is the owner alone. */
static size_t bucket_of(const char *owner, const char *peer)
{
    uint64_t hash = 1469598103934665603u;
    const char *texts[] = {owner, peer};
    for (size_t i = 0; i < 2 && texts[i] != NULL; i++) {
        for (const char *c = texts[i];; c++) {
            hash = (hash ^ (unsigned char)*c) * 1099511628211u;
            if (*c == '\0') {
                break;
            }
        }
    }
    return (size_t)(hash >> 32) % BUCKETS;
}

static struct peer *peer_find(const struct outbox *outbox, const char *owner, const char *name)
{
    struct peer *peer = outbox->buckets[bucket_of(owner, name)];
    while (peer != NULL && (strcmp(peer->owner, owner) != 0 || strcmp(peer->peer, name) != 0)) {
        peer = peer->next;
    }
    return peer;
}

static void peer_free(struct peer *peer)
{
    if (peer != NULL) {
        free(peer->owner);
        free(peer->peer);
        free(peer);
    }
}

static struct peer *peer_take(struct outbox *outbox, const char *owner, const char *name)
{
    struct peer *peer = peer_find(outbox, owner, name);
    if (peer != NULL) {
        return peer;
    }
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return NULL;
    }
    peer->owner = strdup(owner);
    peer->peer = strdup(name);
    if (peer->owner == NULL || peer->peer == NULL) {
        peer_free(peer);
        return NULL;
    }
    struct peer **bucket = &outbox->buckets[bucket_of(owner, name)];
    peer->next = *bucket;
    *bucket = peer;
    struct peer **owners = &outbox->owners[bucket_of(owner, NULL)];
    peer->next_of_owner = *owners;
    *owners = peer;
    return peer;
}

/* ---- timers ---- */

static struct timer *timer_find(const struct peer *peer, const char *slot)
{
    struct timer *timer = peer->timers;
    while (timer != NULL && strcmp(timer->slot, slot) != 0) {
        timer = timer->next;
    }
    return timer;
}

static void timer_restart(struct outbox *outbox, struct timer *timer, uint64_t now)
{
    timer->attempts = 0;
    timer->unanswered = 0;
    timer_set(outbox, timer, now);
}

/* Due at once, whether it was there or not. */
static enum result timer_arm(struct outbox *outbox, const char *owner, const char *name, const char *slot)
{
    struct peer *peer = peer_take(outbox, owner, name);
    if (peer == NULL) {
        return RESULT_INTERNAL;
    }
    struct timer *timer = timer_find(peer, slot);
    uint64_t now = clock_monotonic_us(outbox->clock);
    if (timer != NULL) {
        timer->turn = ++outbox->turns;
        timer_restart(outbox, timer, now);
        return RESULT_OK;
    }
    size_t size = strlen(slot) + 1;
    timer = calloc(1, sizeof(*timer) + size);
    if (timer == NULL) {
        return RESULT_INTERNAL;
    }
    memcpy(timer->slot, slot, size);
    timer->peer = peer;
    timer->due = now;
    timer->turn = ++outbox->turns;
    if (heap_add(outbox, timer) != RESULT_OK) {
        free(timer);
        return RESULT_INTERNAL;
    }
    timer->next = peer->timers;
    peer->timers = timer;
    peer->count++;
    return RESULT_OK;
}

/* Out of everything; the caller frees it. */
static void timer_detach(struct outbox *outbox, struct timer *timer)
{
    struct peer *peer = timer->peer;
    struct timer **at = &peer->timers;
    while (*at != timer) {
        at = &(*at)->next;
    }
    *at = timer->next;
    heap_remove(outbox, timer);
    peer->count--;
}

/* 1 s doubling to 60 s, a quarter more or less, so that a fleet does not ask in step. */
static uint64_t backoff(unsigned attempts)
{
    uint64_t base = SECOND_US;
    for (unsigned i = 1; i < attempts && base < BACKOFF_LAST_US; i++) {
        base *= 2;
    }
    base = base > BACKOFF_LAST_US ? BACKOFF_LAST_US : base;
    uint32_t random = UINT32_MAX / 2;
    if (random_bytes((uint8_t *)&random, sizeof(random)) != RESULT_OK) {
        return base; /* jitter is a courtesy */
    }
    return base - base / 4 + (uint64_t)(((__uint128_t)base * random / UINT32_MAX) / 2);
}

/* ---- rows ---- */

/* Timers outlive their rows until they are due, so where they are many the rows are counted. */
static enum result rows_count(const struct outbox *outbox, const char *owner, const char *peer, size_t enough,
                              size_t *out, struct reason *why)
{
    const struct peer *known = peer_find(outbox, owner, peer);
    uint64_t count = known == NULL ? 0 : known->count;
    if (count >= enough) {
        GUARD(store_number(outbox->store, why, &count,
                           "SELECT COUNT(*) FROM outbox WHERE owner = ? AND peer = ?", "tt", owner, peer));
    }
    *out = (size_t)count;
    return RESULT_OK;
}

enum result outbox_room(const struct outbox *outbox, const char *owner, const char *peer, size_t *out,
                        struct reason *why)
{
    size_t count = 0;
    GUARD(rows_count(outbox, owner, peer, 1, &count, why));
    *out = count < OUTBOX_SLOTS_LIMIT ? OUTBOX_SLOTS_LIMIT - count : 0;
    return RESULT_OK;
}

static enum result room_check(const struct outbox *outbox, const char *owner, const char *peer,
                              struct reason *why)
{
    size_t count = 0;
    GUARD(rows_count(outbox, owner, peer, OUTBOX_SLOTS_LIMIT, &count, why));
    if (count >= OUTBOX_SLOTS_LIMIT) {
        return result_fail(why, RESULT_FULL,
                           "%zu items wait for %s already: it must come online, or be evicted",
                           OUTBOX_SLOTS_LIMIT, peer);
    }
    return RESULT_OK;
}

/* The place of a sealed body; bound to the slot, not to the item, whose number SQLite gives. */
static void body_purpose(const char *owner, const char *peer, const char *slot, char out[512])
{
    (void)snprintf(out, 512, "outbox/body/%s %s %s", owner, peer, slot);
}

/* The body is stored without its number: the row has it. */
static enum result insert_row(struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                              Groupseal__Envelope__RecordBody *body, struct reason *why)
{
    body->item = 0;
    size_t size = groupseal__envelope__record_body__get_packed_size(body);
    if (size > BODY_LIMIT_PACKED) {
        return result_fail(why, RESULT_FULL, "an item for %s would have %zu bytes, at most %zu are sent",
                           peer, size, BODY_LIMIT_PACKED);
    }
    uint8_t *packed = malloc(size + 1);
    if (packed == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for an item for %s", peer);
    }
    char purpose[512];
    body_purpose(owner, peer, slot, purpose);
    (void)groupseal__envelope__record_body__pack(body, packed);
    enum result result =
        store_run(outbox->store, why, "INSERT INTO outbox (owner, peer, slot, body) VALUES (?, ?, ?, ?)",
                  "ttts", owner, peer, slot, purpose, (struct bytes){packed, size});
    secret_wipe_bytes(packed, size);
    free(packed);
    return result;
}

static enum result delete_row(struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                              struct reason *why)
{
    return store_run(outbox->store, why, "DELETE FROM outbox WHERE owner = ? AND peer = ? AND slot = ?",
                     "ttt", owner, peer, slot);
}

enum result outbox_drop_slot(struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                             struct reason *why)
{
    const struct peer *known = peer_find(outbox, owner, peer);
    struct timer *timer = known == NULL ? NULL : timer_find(known, slot);
    if (timer != NULL) { /* the next run finds that its row is gone, and removes it */
        timer_set(outbox, timer, clock_monotonic_us(outbox->clock));
    }
    return delete_row(outbox, owner, peer, slot, why);
}

struct oldest {
    char slot[SLOT_SIZE];
    size_t count;
};

static enum result oldest_read(void *context, const struct store_row *row, struct reason *why)
{
    struct oldest *oldest = context;
    (void)why;
    oldest->count = (size_t)row_u64(row, 0);
    (void)snprintf(oldest->slot, sizeof(oldest->slot), "%s", row_text(row, 1));
    return RESULT_OK;
}

enum result outbox_trim(struct outbox *outbox, const char *owner, const char *peer, const char *prefix,
                        size_t limit, struct reason *why)
{
    for (;;) {
        struct oldest oldest = {.count = 0};
        GUARD(store_query(outbox->store, why, oldest_read, &oldest,
                          "SELECT count(*), slot, min(item) FROM outbox WHERE owner = ? AND peer = ?"
                          " AND substr(slot, 1, length(?)) = ?",
                          "tttt", owner, peer, prefix, prefix));
        if (oldest.count <= limit) {
            return RESULT_OK;
        }
        GUARD(outbox_drop_slot(outbox, owner, peer, oldest.slot, why));
    }
}

enum result outbox_drop_peer(struct outbox *outbox, const char *owner, const char *peer, struct reason *why)
{
    outbox_kick(outbox, owner, peer);
    return store_run(outbox->store, why, "DELETE FROM outbox WHERE owner = ? AND peer = ?", "tt", owner,
                     peer);
}

enum result outbox_put(struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                       Groupseal__Envelope__RecordBody *body, struct reason *why)
{
    if (strlen(slot) >= SLOT_SIZE || strlen(owner) > NAME_LIMIT || strlen(peer) > NAME_LIMIT) {
        return result_fail(why, RESULT_INVALID, "an item's owner, peer or slot is too long: %.80s", slot);
    }
    GUARD(delete_row(outbox, owner, peer, slot, why));
    GUARD(room_check(outbox, owner, peer, why)); /* in the slot of an older item there always is */
    GUARD(insert_row(outbox, owner, peer, slot, body, why));
    body->item = (uint64_t)store_last_id(outbox->store);
    if (timer_arm(outbox, owner, peer, slot) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no memory for an item for %s", peer);
    }
    return RESULT_OK;
}

enum result outbox_waits(const struct outbox *outbox, const char *owner, const char *peer, const char *slot,
                         bool *out, struct reason *why)
{
    return store_find(outbox->store, why, out,
                      "SELECT 1 FROM outbox WHERE owner = ? AND peer = ? AND slot = ?", "ttt", owner, peer,
                      slot);
}

struct slot_answer {
    bool found;
    char *slot;
    size_t size;
};

static enum result slot_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    struct slot_answer *answer = context;
    answer->found = true;
    (void)snprintf(answer->slot, answer->size, "%s", row_text(row, 0));
    return RESULT_OK;
}

#define ACCEPT_STORE 7u

/* The peer is there but could not keep it: the back-off goes on, and nothing is unanswered. */
static void was_answered(struct outbox *outbox, const char *owner, const char *peer, const char *slot)
{
    struct peer *known = peer_find(outbox, owner, peer);
    struct timer *timer = known == NULL ? NULL : timer_find(known, slot);
    if (timer != NULL) {
        timer->unanswered = 0;
    }
}

enum result outbox_accepted(struct outbox *outbox, const char *owner, const char *peer, uint64_t item,
                            uint32_t accept_result, char *slot, size_t slot_size, struct reason *why)
{
    struct slot_answer answer = {false, slot, slot_size};
    if (item > INT64_MAX) {
        return result_fail(why, RESULT_UNKNOWN, "%s accepts an item that it was never sent", peer);
    }
    GUARD(store_query(outbox->store, why, slot_row, &answer,
                      "SELECT slot FROM outbox WHERE item = ? AND owner = ? AND peer = ?", "utt", item, owner,
                      peer));
    if (!answer.found) {
        return result_fail(why, RESULT_UNKNOWN,
                           "%s accepts item %" PRIu64 ", which is not waiting (a repeat)", peer, item);
    }
    if (accept_result == ACCEPT_STORE) {
        was_answered(outbox, owner, peer, slot);
        return RESULT_OK;
    }
    return store_run(outbox->store, why, "DELETE FROM outbox WHERE item = ?", "u", item);
}

/* ---- life ---- */

struct opening {
    struct outbox *outbox;
    uint64_t done;
    struct progress progress;
};

static enum result open_row(void *context, const struct store_row *row, struct reason *why)
{
    struct opening *opening = context;
    progress_step(&opening->progress, ++opening->done);
    if (timer_arm(opening->outbox, row_text(row, 0), row_text(row, 1), row_text(row, 2)) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the outbox");
    }
    return RESULT_OK;
}

enum result outbox_open(struct store *store, const struct clock_source *clock, struct outbox **out,
                        struct reason *why)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));
    if (outbox == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the outbox");
    }
    outbox->store = store;
    outbox->clock = clock;
    struct opening opening = {.outbox = outbox};
    progress_begin(&opening.progress, "secenv: records that wait to be sent", 0);
    enum result result =
        store_query(store, why, open_row, &opening, "SELECT owner, peer, slot FROM outbox ORDER BY item", "");
    if (result != RESULT_OK) {
        outbox_close(outbox);
        return result;
    }
    *out = outbox;
    return RESULT_OK;
}

static void timers_free(struct timer *timer)
{
    while (timer != NULL) {
        struct timer *next = timer->next;
        free(timer);
        timer = next;
    }
}

void outbox_close(struct outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        struct peer *next = NULL;
        for (struct peer *peer = outbox->buckets[i]; peer != NULL; peer = next) {
            next = peer->next;
            timers_free(peer->timers);
            peer_free(peer);
        }
    }
    free(outbox->heap);
    free(outbox);
}

static void kick_peer(struct outbox *outbox, struct peer *peer)
{
    uint64_t now = clock_monotonic_us(outbox->clock);
    for (struct timer *timer = peer->timers; timer != NULL; timer = timer->next) {
        timer_restart(outbox, timer, now);
    }
}

void outbox_kick(struct outbox *outbox, const char *owner, const char *peer)
{
    if (peer != NULL) {
        struct peer *known = peer_find(outbox, owner, peer);
        if (known != NULL) {
            kick_peer(outbox, known);
        }
        return;
    }
    struct peer *known = outbox->owners[bucket_of(owner, NULL)];
    for (; known != NULL; known = known->next_of_owner) {
        if (strcmp(known->owner, owner) == 0) {
            kick_peer(outbox, known);
        }
    }
}

bool outbox_heard(struct outbox *outbox, const char *owner, const char *peer)
{
    const struct peer *known = peer_find(outbox, owner, peer);
    uint64_t now = clock_monotonic_us(outbox->clock);
    bool any = false;
    for (struct timer *timer = known != NULL ? known->timers : NULL; timer != NULL; timer = timer->next) {
        /* What was sent once may be on its way, and is due within about a second anyway. */
        if (timer->unanswered > 1) {
            timer_restart(outbox, timer, now);
            any = true;
        }
    }
    return any;
}

uint64_t outbox_next(const struct outbox *outbox)
{
    return outbox->count == 0 ? NEVER : outbox->heap[0]->due;
}

/* ---- sending ---- */

struct item {
    const char *purpose;
    struct buffer packed;
    uint64_t number;
    bool found;
};

static enum result item_row(void *context, const struct store_row *row, struct reason *why)
{
    struct item *item = context;
    item->found = true;
    item->number = row_u64(row, 0);
    return row_unseal(row, 1, item->purpose, &item->packed, why);
}

/* RESULT_UNKNOWN: the row is gone. RESULT_FULL: the arena is. */
static enum result item_load(struct outbox *outbox, const struct timer *timer, struct arena *arena,
                             Groupseal__Envelope__RecordBody **out, struct reason *why)
{
    char purpose[512];
    body_purpose(timer->peer->owner, timer->peer->peer, timer->slot, purpose);
    struct item item = {purpose, BUFFER_EMPTY(BODY_LIMIT_PACKED), 0, false};
    enum result result =
        store_query(outbox->store, why, item_row, &item,
                    "SELECT item, body FROM outbox WHERE owner = ? AND peer = ? AND slot = ?", "ttt",
                    timer->peer->owner, timer->peer->peer, timer->slot);
    if (result == RESULT_OK && !item.found) {
        result = RESULT_UNKNOWN;
    }
    if (result == RESULT_OK) {
        *out = groupseal__envelope__record_body__unpack(arena_allocator(arena), item.packed.length,
                                                        item.packed.data);
        result = *out == NULL ? RESULT_FULL : RESULT_OK;
    }
    if (result == RESULT_OK) {
        (*out)->item = item.number;
    }
    buffer_clear(&item.packed);
    return result;
}

static uint64_t longer(const struct outbox *outbox)
{
    uint64_t us = (uint64_t)outbox->under_way * OUTBOX_UNDER_WAY_US;
    return us < BACKOFF_LAST_US ? us : BACKOFF_LAST_US;
}

void outbox_under_way(struct outbox *outbox, size_t count)
{
    outbox->under_way = count;
}

static enum result send_one(struct outbox *outbox, struct timer *timer, outbox_send send, void *context,
                            struct arena *arena, struct reason *why)
{
    Groupseal__Envelope__RecordBody *body = NULL;
    GUARD(item_load(outbox, timer, arena, &body, why));
    enum result result =
        send(context, timer->peer->owner, timer->peer->peer, timer->slot, body, timer->unanswered);
    if (result == RESULT_OK) {
        timer->attempts++;
        timer->unanswered++;
        timer_set(outbox, timer,
                  clock_monotonic_us(outbox->clock) + longer(outbox) + backoff(timer->attempts));
    } else if (result == RESULT_NOT_READY) {
        timer_set(outbox, timer, NEVER);
        result = RESULT_OK;
    }
    return result;
}

enum result outbox_run(struct outbox *outbox, outbox_send send, void *context, struct arena *arena,
                       struct reason *why)
{
    uint64_t now = clock_monotonic_us(outbox->clock);
    enum result result = RESULT_OK;
    struct timer *gone = NULL;
    for (unsigned sent = 0; result == RESULT_OK && sent < RUN_LIMIT && outbox_next(outbox) <= now; sent++) {
        struct timer *timer = outbox->heap[0];
        result = send_one(outbox, timer, send, context, arena, why);
        if (result == RESULT_UNKNOWN) {
            timer_detach(outbox, timer);
            timer->next = gone;
            gone = timer;
            result = RESULT_OK;
        } else if (result == RESULT_FULL && sent > 0) {
            result = RESULT_OK; /* the rest in the next turn, with an arena that is empty again */
            break;
        }
    }
    timers_free(gone);
    return result;
}
