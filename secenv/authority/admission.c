/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/authority.h"

#include <stdio.h>
#include <string.h>

#define FLIGHT_LIMIT ((size_t)40 * 1024)

/* ---- slots ---- */

void admission_init(struct admission *admission)
{
    memset(admission, 0, sizeof(*admission));
    TAILQ_INIT(&admission->unused);
    TAILQ_INIT(&admission->open);
    TAILQ_INIT(&admission->done);
    for (size_t i = 0; i < ADMISSION_BUCKETS; i++) {
        LIST_INIT(&admission->buckets[i]);
    }
    for (size_t i = 0; i < ADMISSION_SLOTS; i++) {
        TAILQ_INSERT_TAIL(&admission->unused, &admission->slots[i], queue);
    }
}

static size_t place_of(const char *from)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = from; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    }
    return hash % ADMISSION_BUCKETS;
}

static struct admission_bucket *bucket_of(struct admission *admission, const char *from)
{
    return &admission->buckets[place_of(from)];
}

static void slot_free(struct admission *admission, struct admission_slot *slot)
{
    struct admission_queue *queue = slot->handshake != NULL ? &admission->open : &admission->done;
    TAILQ_REMOVE(queue, slot, queue);
    LIST_REMOVE(slot, bucket);
    handshake_free(slot->handshake);
    buffer_clear(&slot->flight2);
    memset(slot, 0, sizeof(*slot));
    TAILQ_INSERT_TAIL(&admission->unused, slot, queue);
}

/* Frees what is at least as old as `age_us`. */
static void queue_expire(struct admission *admission, struct admission_queue *queue, uint64_t now_us,
                         uint64_t age_us)
{
    struct admission_slot *slot;
    while ((slot = TAILQ_FIRST(queue)) != NULL && now_us - slot->started_us >= age_us) {
        slot_free(admission, slot);
    }
}

static void slots_expire(struct admission *admission, uint64_t now_us)
{
    queue_expire(admission, &admission->open, now_us, ADMISSION_SLOT_US);
    queue_expire(admission, &admission->done, now_us, ADMISSION_SLOT_US);
}

void admission_clear(struct admission *admission)
{
    queue_expire(admission, &admission->open, 0, 0);
    queue_expire(admission, &admission->done, 0, 0);
}

void admission_drop(struct admission *admission, const char *from)
{
    struct admission_slot *slot = LIST_FIRST(bucket_of(admission, from));
    while (slot != NULL) {
        struct admission_slot *next = LIST_NEXT(slot, bucket);
        if (strcmp(slot->from, from) == 0) {
            slot_free(admission, slot);
        }
        slot = next;
    }
}

static struct admission_slot *slot_find(struct admission *admission, const char *from,
                                        struct bytes hello_hash)
{
    struct admission_slot *slot;
    LIST_FOREACH(slot, bucket_of(admission, from), bucket)
    {
        if (strcmp(slot->from, from) == 0 && bytes_equal(BYTES_OF(slot->hello_hash), hello_hash)) {
            return slot;
        }
    }
    return NULL;
}

/* Makes room: where the originator has all of its own, its oldest gives way; where all are in use, the oldest
 * that has ended well. */
static void slot_make_room(struct admission *admission, const char *from)
{
    struct admission_slot *slot;
    struct admission_slot *oldest = NULL;
    size_t own = 0;
    LIST_FOREACH(slot, bucket_of(admission, from), bucket)
    {
        if (strcmp(slot->from, from) == 0) {
            own++;
            oldest = oldest == NULL || slot->started_us < oldest->started_us ? slot : oldest;
        }
    }
    if (own >= ADMISSION_SLOTS_EACH) {
        slot_free(admission, oldest);
    } else if (TAILQ_EMPTY(&admission->unused) && !TAILQ_EMPTY(&admission->done)) {
        slot_free(admission, TAILQ_FIRST(&admission->done));
    }
}

static size_t hop_open(const struct admission *admission, const char *hop)
{
    const struct admission_slot *slot;
    size_t open = 0;
    TAILQ_FOREACH(slot, &admission->open, queue)
    {
        open += strcmp(slot->hop, hop) == 0 ? 1 : 0;
    }
    return open;
}

/* A slot among the open ones; NULL where all are in use, or all that one hop may have. */
static struct admission_slot *slot_take(struct admission *admission, const char *from, const char *hop,
                                        uint64_t now_us)
{
    slot_make_room(admission, from);
    struct admission_slot *slot = TAILQ_FIRST(&admission->unused);
    if (slot == NULL || hop_open(admission, hop) >= ADMISSION_SLOTS_HOP) {
        return NULL;
    }
    TAILQ_REMOVE(&admission->unused, slot, queue);
    TAILQ_INSERT_TAIL(&admission->open, slot, queue);
    LIST_INSERT_HEAD(bucket_of(admission, from), slot, bucket);
    (void)snprintf(slot->from, sizeof(slot->from), "%s", from);
    (void)snprintf(slot->hop, sizeof(slot->hop), "%s", hop);
    slot->started_us = now_us;
    return slot;
}

/* ---- rate ---- */

/* The bucket of this name; a new one takes the place of the one that is nearest to full. */
static struct bucket *rate_find(struct admission_rate *rates, size_t count, const char *name)
{
    struct admission_rate *fullest = &rates[0];
    for (size_t i = 0; i < count; i++) {
        struct admission_rate *rate = &rates[i];
        if (rate->name[0] != '\0' && strcmp(rate->name, name) == 0) {
            return &rate->bucket;
        }
        fullest = rate->bucket.full_us < fullest->bucket.full_us ? rate : fullest;
    }
    (void)snprintf(fullest->name, sizeof(fullest->name), "%s", name);
    fullest->bucket = (struct bucket){0};
    return &fullest->bucket;
}

static struct bucket *hop_find(struct admission *admission, const char *name)
{
    return rate_find(admission->hops, ADMISSION_HOPS, name);
}

static struct bucket *origin_find(struct admission *admission, const char *name)
{
    return rate_find(admission->origins[place_of(name)], ADMISSION_ORIGINS_EACH, name);
}

static struct bucket_rate hop_rate(void)
{
    return bucket_rate_of(ADMISSION_HOP_RATE, ADMISSION_HOP_BURST);
}

static struct bucket_rate origin_rate(void)
{
    return bucket_rate_of(ADMISSION_ORIGIN_RATE, ADMISSION_ORIGIN_BURST);
}

/* The originator first: what is too much of it takes nothing of its hop's. */
static enum result rate_check(struct engine *engine, const char *from, const char *hop, struct reason *why)
{
    struct admission *admission = &engine->admission;
    uint64_t now_us = clock_monotonic_us(engine->clock);
    if (!bucket_take(origin_find(admission, from), origin_rate(), now_us)) {
        return result_fail(why, RESULT_FULL,
                           "%.128s begins more than %u handshakes a second that come to nothing", from,
                           ADMISSION_ORIGIN_RATE);
    }
    if (!bucket_take(hop_find(admission, hop), hop_rate(), now_us)) {
        return result_fail(why, RESULT_FULL,
                           "more than %u handshakes a second that come to nothing through %.128s",
                           ADMISSION_HOP_RATE, hop);
    }
    return RESULT_OK;
}

/* It has ended well. */
static void rate_return(struct admission *admission, const struct admission_slot *slot)
{
    bucket_return(origin_find(admission, slot->from), origin_rate());
    bucket_return(hop_find(admission, slot->hop), hop_rate());
}

/* ---- flight 1 ---- */

static enum result flight_new(struct arena *arena, uint32_t number, struct bytes hello_hash, struct bytes tls,
                              Groupseal__Envelope__Flight **out)
{
    Groupseal__Envelope__Flight *flight = arena_alloc(arena, sizeof(*flight));
    uint8_t *hash = arena_copy(arena, hello_hash);
    uint8_t *copy = tls.length != 0 ? arena_copy(arena, tls) : NULL;
    if (flight == NULL || hash == NULL || (copy == NULL && tls.length != 0)) {
        return RESULT_INTERNAL;
    }
    groupseal__envelope__flight__init(flight);
    flight->number = number;
    flight->hello_hash = arena_field((struct bytes){hash, hello_hash.length});
    flight->tls = arena_field((struct bytes){copy, tls.length});
    *out = flight;
    return RESULT_OK;
}

struct hello_answer {
    struct handshake *handshake;
    struct buffer flight2;
    uint8_t hello_hash[HASH_SIZE];
};

static enum result server_start(struct engine *engine, const struct member *member, struct bytes tls,
                                struct hello_answer *out, enum audit_counter *cause, struct reason *why)
{
    struct secret psk = {{0}};
    struct expected_peer peer = {.name = member->name,
                                 .kind = member->kind,
                                 .mode = member->mode,
                                 .psk_identity = member->psk_identity,
                                 .psk = &psk};
    enum result result = RESULT_OK;
    if (member->mode == CREDENTIALS_PSK) {
        result = member_psk(engine->store, member, &psk, why);
    }
    if (result == RESULT_OK) {
        result = handshake_server_start(engine->tls, &peer, tls, &out->handshake, &out->flight2,
                                        out->hello_hash, cause, why);
    }
    secret_wipe(&psk);
    return result;
}

static enum result flight1_new(struct engine *engine, const struct member *member, const char *hop,
                               struct bytes tls, struct admission_slot **out, enum audit_counter *cause,
                               struct reason *why)
{
    struct hello_answer answer = {.flight2 = BUFFER_EMPTY(FLIGHT_LIMIT)};
    *cause = AUDIT_REFUSED_BUSY;
    GUARD(rate_check(engine, member->name, hop, why));
    audit_count(AUDIT_HANDSHAKES_STARTED);
    *cause = AUDIT_REFUSED_HELLO;
    GUARD(server_start(engine, member, tls, &answer, cause, why));
    struct admission_slot *slot =
        slot_take(&engine->admission, member->name, hop, clock_monotonic_us(engine->clock));
    if (slot == NULL) {
        handshake_free(answer.handshake);
        buffer_clear(&answer.flight2);
        *cause = AUDIT_REFUSED_BUSY;
        return result_fail(why, RESULT_FULL, "%u handshakes are under way, or %u through %.128s",
                           ADMISSION_SLOTS, ADMISSION_SLOTS_HOP, hop);
    }
    slot->handshake = answer.handshake;
    slot->flight2 = answer.flight2;
    memcpy(slot->hello_hash, answer.hello_hash, HASH_SIZE);
    *out = slot;
    return RESULT_OK;
}

/* A repeat (QoS 1) gets the same flight 2: a new one would end the handshake of the first. */
static enum result flight1_take(struct engine *engine, const struct member *member, const char *hop,
                                const Groupseal__Envelope__Flight *flight, struct arena *arena,
                                Groupseal__Envelope__Flight **answer, enum audit_counter *cause,
                                struct reason *why)
{
    uint8_t hash[HASH_SIZE];
    struct admission_slot *slot = NULL;
    struct bytes tls = arena_view(flight->tls);
    if (!LIST_EMPTY(bucket_of(&engine->admission, member->name))) {
        GUARD(hash_bytes(tls, hash));
        slot = slot_find(&engine->admission, member->name, BYTES_OF(hash));
    }
    if (slot == NULL) {
        GUARD(flight1_new(engine, member, hop, tls, &slot, cause, why));
    }
    return flight_new(arena, 2, BYTES_OF(slot->hello_hash), buffer_bytes(&slot->flight2), answer);
}

/* ---- flight 3 ---- */

/* What makes a repeated flight 3 the same one. */
static enum result flight3_hash(const Groupseal__Envelope__Flight *flight, uint8_t out[HASH_SIZE])
{
    struct fields list;
    fields_init(&list);
    fields_var(&list, arena_view(flight->tls));
    fields_u64(&list, flight->record->counter);
    fields_var(&list, arena_view(flight->record->boot));
    fields_var(&list, arena_view(flight->record->ciphertext));
    enum result result = hash_fields(&list, out);
    fields_clear(&list);
    return result;
}

static enum result confirm(struct engine *engine, struct association *association, struct bytes hello_hash,
                           struct arena *arena, Groupseal__Envelope__Flight **answer, struct reason *why)
{
    Groupseal__Envelope__Confirm content = GROUPSEAL__ENVELOPE__CONFIRM__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    GUARD(carried_clock_sign(engine, &content.time_ms, why));
    content.floor = engine->incarnation;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CONFIRM;
    body.confirm = &content;
    GUARD(flight_new(arena, 4, hello_hash, (struct bytes){NULL, 0}, answer));
    return association_seal(association, engine->store, engine->clock, &body, arena, &(*answer)->record, why);
}

/* FIRST: the association's first record, and the proof that the member has its signing key. */
static enum result first_take(struct engine *engine, const struct member *member,
                              struct association *association, const Groupseal__Envelope__Record *record,
                              struct arena *arena, struct bytes *signing_key, struct reason *why)
{
    Groupseal__Envelope__RecordBody *body = NULL;
    GUARD(association_open(association, engine->store, record, arena, &body, why));
    if (body->content_case != GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_FIRST) {
        return result_fail(why, RESULT_REFUSED, "the first record of %s is not FIRST", member->name);
    }
    *signing_key = arena_view(body->first->signing_key);
    enum result result = first_check(&association->agreement, member->name, body->first);
    return result == RESULT_OK ? RESULT_OK
                               : result_fail(why, result, "%s does not prove its signing key", member->name);
}

/* Store first; memory, which cannot fail but for memory itself, after it. */
static enum result association_install(struct engine *engine, const struct member *member,
                                       struct association *association, struct bytes signing_key,
                                       struct reason *why)
{
    const struct peer *peer = peers_find(&engine->peers, member->name);
    bool pending = peer != NULL && peer->current != NULL;
    association->slot = pending ? ASSOCIATION_PENDING : ASSOCIATION_CURRENT;
    GUARD(association_save(association, engine->store, why));
    if (pending) {
        return member_pending_key_set(engine, member, signing_key.data, why);
    }
    return member_present(engine, member, association->agreement.id, signing_key.data, why);
}

/* The handshake has ended well: its association in the store, CONFIRM sealed, then memory. */
static enum result agreement_take(struct engine *engine, const struct member *member,
                                  struct admission_slot *slot, const Groupseal__Envelope__Flight *flight,
                                  const struct agreement *agreement, struct arena *arena,
                                  Groupseal__Envelope__Flight **answer, struct reason *why)
{
    struct association association;
    struct bytes signing_key = {NULL, 0};
    association_init(&association, ASSOCIATION_AUTHORITY, ASSOCIATION_CURRENT, member->name,
                     engine->identity.name, agreement, clock_wall_ms(engine->clock));
    enum result result = first_take(engine, member, &association, flight->record, arena, &signing_key, why);
    if (result == RESULT_OK) {
        result = association_install(engine, member, &association, signing_key, why);
    }
    if (result == RESULT_OK) {
        result = confirm(engine, &association, BYTES_OF(slot->hello_hash), arena, answer, why);
    }
    if (result == RESULT_OK) {
        result = flight3_hash(flight, slot->flight3_hash);
    }
    if (result == RESULT_OK) {
        result = peers_set(&engine->peers, &association, clock_monotonic_us(engine->clock), why);
    }
    association_wipe(&association);
    return result;
}

/* What the member has begun before is of no use any more: a flight 3 that was held back on the way must not
 * take the place of the association that it uses now. */
static void slots_supersede(struct admission *admission, const struct admission_slot *ended)
{
    struct admission_slot *slot = LIST_FIRST(bucket_of(admission, ended->from));
    while (slot != NULL) {
        struct admission_slot *next = LIST_NEXT(slot, bucket);
        if (slot != ended && slot->handshake != NULL && strcmp(slot->from, ended->from) == 0 &&
            slot->started_us <= ended->started_us) {
            slot_free(admission, slot);
        }
        slot = next;
    }
}

/* From the open ones to those that have ended well. */
static void slot_done(struct admission *admission, struct admission_slot *slot,
                      const struct agreement *agreement)
{
    TAILQ_REMOVE(&admission->open, slot, queue);
    TAILQ_INSERT_TAIL(&admission->done, slot, queue);
    handshake_free(slot->handshake);
    slot->handshake = NULL;
    buffer_clear(&slot->flight2);
    memcpy(slot->association, agreement->id, sizeof(slot->association));
}

static void agreement_count(struct engine *engine, const struct member *member,
                            const struct agreement *agreement)
{
    bool cert = agreement->mode == CREDENTIALS_CERT;
    audit_count(AUDIT_HANDSHAKES_DONE);
    audit_count(cert ? AUDIT_HANDSHAKES_DONE_CERT : AUDIT_HANDSHAKES_DONE_PSK);
    log_of_peer(engine, member->name, "%s authenticated end to end (%s, %s)", member->name,
                cert ? "certificate" : "pre-shared key", agreement->mechanism);
}

/* It has proven who it is: nobody else spends what is its own. */
static enum result pace_check(struct engine *engine, const struct member *member, enum audit_counter *cause,
                              struct reason *why)
{
    const struct bucket_rate rate = {ADMISSION_EACH_INTERVAL_US, ADMISSION_EACH_BURST};
    struct peer *peer = peers_find(&engine->peers, member->name);
    if (peer == NULL || bucket_take(&peer->handshakes, rate, clock_monotonic_us(engine->clock))) {
        return RESULT_OK;
    }
    *cause = AUDIT_REFUSED_BUSY;
    return result_fail(why, RESULT_FULL, "%s authenticates again and again", member->name);
}

static enum result flight3_finish(struct engine *engine, const struct member *member,
                                  struct admission_slot *slot, const Groupseal__Envelope__Flight *flight,
                                  struct arena *arena, Groupseal__Envelope__Flight **answer,
                                  enum audit_counter *cause, struct reason *why)
{
    struct agreement agreement;
    memset(&agreement, 0, sizeof(agreement));
    enum result result =
        handshake_server_finish(slot->handshake, arena_view(flight->tls), &agreement, cause, why);
    if (result == RESULT_OK) {
        *cause = AUDIT_REFUSED_HELLO;
        result = pace_check(engine, member, cause, why);
    }
    if (result == RESULT_OK) {
        result = agreement_take(engine, member, slot, flight, &agreement, arena, answer, why);
    }
    if (result == RESULT_OK) {
        rate_return(&engine->admission, slot);
        slot_done(&engine->admission, slot, &agreement);
        slots_supersede(&engine->admission, slot);
        agreement_count(engine, member, &agreement);
        outbox_kick(engine->outbox, engine->identity.name, member->name);
    } else {
        slot_free(&engine->admission, slot);
    }
    secret_wipe_bytes(&agreement, sizeof(agreement));
    return result;
}

/* Flight 3 again: the CONFIRM was lost on the way, and the member is there. */
static enum result flight3_again(struct engine *engine, const struct member *member,
                                 const struct admission_slot *slot, const Groupseal__Envelope__Flight *flight,
                                 struct arena *arena, Groupseal__Envelope__Flight **answer,
                                 struct reason *why)
{
    uint8_t hash[HASH_SIZE];
    struct peer *peer = peers_find(&engine->peers, member->name);
    struct association *association =
        peer != NULL ? peer_association(peer, BYTES_OF(slot->association)) : NULL;
    GUARD(flight3_hash(flight, hash));
    if (association == NULL || memcmp(hash, slot->flight3_hash, HASH_SIZE) != 0) {
        return result_fail(why, RESULT_REFUSED, "flight 3 of %s is another one than before", member->name);
    }
    GUARD(confirm(engine, association, BYTES_OF(slot->hello_hash), arena, answer, why));
    if (association != peer->pending) {
        return RESULT_OK;
    }
    struct association copy = *association;
    enum result result = admission_promote(engine, member, peer, &copy, why);
    association_wipe(&copy);
    return result;
}

static enum result flight3_take(struct engine *engine, const struct member *member,
                                const Groupseal__Envelope__Flight *flight, struct arena *arena,
                                Groupseal__Envelope__Flight **answer, enum audit_counter *cause,
                                struct reason *why)
{
    struct admission_slot *slot = slot_find(&engine->admission, member->name, arena_view(flight->hello_hash));
    if (slot == NULL) {
        return result_fail(why, RESULT_UNKNOWN, "flight 3 of %s belongs to no handshake under way",
                           member->name);
    }
    if (slot->handshake == NULL) {
        return flight3_again(engine, member, slot, flight, arena, answer, why);
    }
    return flight3_finish(engine, member, slot, flight, arena, answer, cause, why);
}

enum result admission_flight(struct engine *engine, const struct member *member, const char *hop,
                             const Groupseal__Envelope__Flight *flight, struct arena *arena,
                             Groupseal__Envelope__Flight **answer, struct reason *why)
{
    enum audit_counter cause = AUDIT_REFUSED_HELLO;
    enum result result;
    slots_expire(&engine->admission, clock_monotonic_us(engine->clock));
    if (flight->number == 1) {
        result = flight1_take(engine, member, hop, flight, arena, answer, &cause, why);
    } else if (flight->number == 3) {
        result = flight3_take(engine, member, flight, arena, answer, &cause, why);
    } else {
        result = result_fail(why, RESULT_INVALID, "flight %u is not one for an authority", flight->number);
    }
    if (result != RESULT_OK && !authority_own_fault(result)) {
        audit_count(AUDIT_HANDSHAKES_REFUSED);
        audit_count(cause);
    }
    return result;
}

/* ---- pending ---- */

enum result admission_promote(struct engine *engine, const struct member *member, struct peer *peer,
                              struct association *association, struct reason *why)
{
    uint8_t signing_key[VERIFY_KEY_SIZE];
    association->slot = ASSOCIATION_CURRENT;
    GUARD(member_pending_key(engine, member, signing_key, why));
    GUARD(association_save(association, engine->store, why));
    GUARD(member_present(engine, member, association->agreement.id, signing_key, why));
    peers_promote(&engine->peers, peer, association);
    return RESULT_OK;
}

static enum result pending_promote(struct engine *engine, struct peer *peer, struct reason *why)
{
    struct member member;
    struct association copy = *peer->pending;
    enum result result = member_find(engine->store, peer->name, &member, why);
    if (result == RESULT_OK) {
        result = admission_promote(engine, &member, peer, &copy, why);
    }
    association_wipe(&copy);
    return result;
}

enum result admission_turn(struct engine *engine, uint64_t *next, struct reason *why)
{
    uint64_t now_us = clock_monotonic_us(engine->clock);
    struct peer *peer;
    while ((peer = TAILQ_FIRST(&engine->peers.pending)) != NULL && peer->pending_until_us <= now_us) {
        GUARD(pending_promote(engine, peer, why));
    }
    if (peer != NULL && peer->pending_until_us < *next) {
        *next = peer->pending_until_us;
    }
    return RESULT_OK;
}
