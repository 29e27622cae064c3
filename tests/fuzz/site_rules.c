/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "site_rules.h"

#include <stdio.h>

#include "fuzz.h"
#include "secenv/association.h"

#define ORDERS_LIMIT 256u
#define GIVEN_LIMIT 512u
#define SEALS_LIMIT 4096u

struct given {
    const struct site_node *node;
    uint8_t id[COMMAND_ID_SIZE];
};

/* Where a key and its nonce come from, and what they sealed; as hashes. */
struct seal {
    uint8_t place[HASH_SIZE];
    uint8_t text[HASH_SIZE];
};

struct rules {
    struct site *site;
    struct arena *arena;
    uint8_t orders[ORDERS_LIMIT][COMMAND_ID_SIZE];
    size_t order_count;
    struct given given[GIVEN_LIMIT];
    size_t given_count;
    struct seal seals[SEALS_LIMIT];
    size_t seal_count;
    bool authority_lies;
};

struct rules *rules_new(struct site *site)
{
    struct rules *rules = calloc(1, sizeof(*rules));
    ALWAYS(rules != NULL);
    rules->site = site;
    rules->arena = arena_new((size_t)4 * 1024 * 1024);
    ALWAYS(rules->arena != NULL);
    return rules;
}

void rules_forget(struct rules *rules)
{
    rules->order_count = 0;
    rules->given_count = 0;
    rules->seal_count = 0;
    rules->authority_lies = false;
}

void rules_authority_lies(struct rules *rules)
{
    rules->authority_lies = true;
}

/* ---- commands ---- */

void rules_ordered(struct rules *rules, ProtobufCBinaryData command_id)
{
    ALWAYS(command_id.len == COMMAND_ID_SIZE && rules->order_count < ORDERS_LIMIT);
    memcpy(rules->orders[rules->order_count++], command_id.data, COMMAND_ID_SIZE);
}

static bool was_ordered(const struct rules *rules, const uint8_t *id)
{
    for (size_t i = 0; i < rules->order_count; i++) {
        if (memcmp(rules->orders[i], id, COMMAND_ID_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

bool rules_given(const struct rules *rules, const struct site_node *node, ProtobufCBinaryData command_id)
{
    for (size_t i = 0; i < rules->given_count; i++) {
        if (rules->given[i].node == node &&
            memcmp(rules->given[i].id, command_id.data, COMMAND_ID_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void command_look(struct rules *rules, const struct site_node *node,
                         const Groupseal__Secenv__CommandEvent *command)
{
    ALWAYS(command->command_id.len == COMMAND_ID_SIZE);
    ALWAYS(was_ordered(rules, command->command_id.data));
    ALWAYS(rules->authority_lies || !rules_given(rules, node, command->command_id));
    ALWAYS(rules->given_count < GIVEN_LIMIT);
    struct given *given = &rules->given[rules->given_count++];
    given->node = node;
    memcpy(given->id, command->command_id.data, COMMAND_ID_SIZE);
}

void rules_events(struct rules *rules, struct site_node *node)
{
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND) {
            command_look(rules, node, event->command);
        }
    }
    site_events_clear(node);
}

/* ---- keys and nonces ---- */

static void seal_look(struct rules *rules, struct fields *place, struct bytes text)
{
    struct seal seal;
    ALWAYS(hash_fields(place, seal.place) == RESULT_OK && hash_bytes(text, seal.text) == RESULT_OK);
    fields_clear(place);
    for (size_t i = 0; i < rules->seal_count; i++) {
        if (memcmp(rules->seals[i].place, seal.place, HASH_SIZE) == 0) {
            ALWAYS(memcmp(rules->seals[i].text, seal.text, HASH_SIZE) == 0);
            return;
        }
    }
    if (rules->seal_count < SEALS_LIMIT) {
        rules->seals[rules->seal_count++] = seal;
    }
}

static void group_message_look(struct rules *rules, const Groupseal__Secenv__Publish *topic,
                               struct bytes payload)
{
    Groupseal__Envelope__Sealed *sealed = NULL;
    struct fields place;
    struct reason why;
    if (seal_parse(payload, rules->arena, &sealed, &why) != RESULT_OK) {
        return; /* announcements and the like */
    }
    fields_init(&place);
    fields_text(&place, topic->group);
    fields_u8(&place, (uint8_t)sealed->kind);
    fields_u64(&place, sealed->epoch);
    fields_u64(&place, sealed->serial);
    fields_var(&place, arena_view(sealed->boot));
    fields_u64(&place, sealed->counter);
    seal_look(rules, &place, arena_view(sealed->ciphertext));
}

static void record_look(struct rules *rules, const Groupseal__Envelope__Record *record, const char *direction)
{
    struct fields place;
    fields_init(&place);
    fields_text(&place, direction);
    fields_var(&place, arena_view(record->association));
    fields_var(&place, arena_view(record->boot));
    fields_u64(&place, record->counter);
    seal_look(rules, &place, arena_view(record->ciphertext));
}

static bool is_up(const Groupseal__Envelope__Record *record)
{
    return record->type == GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_FIRST ||
           record->type >= GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_REPORT;
}

void rules_sent(struct rules *rules, const Groupseal__Secenv__Publish *topic, struct bytes payload)
{
    Groupseal__Envelope__EndToEnd *object = NULL;
    const Groupseal__Envelope__Record *record = NULL;
    struct reason why;
    if (topic != NULL) {
        bool sealed = topic->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND ||
                      topic->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE ||
                      topic->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK;
        if (sealed) {
            group_message_look(rules, topic, payload);
        }
    } else if (payload.length != 0 && carriage_parse(payload, rules->arena, &object, &why) == RESULT_OK) {
        record = object->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD ? object->record
                 : object->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT
                     ? object->flight->record
                     : NULL;
        /* ACCEPT goes both ways: which, only its receiver knows; both have keys of their own. */
        if (record != NULL && record->type != GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ACCEPT) {
            record_look(rules, record, is_up(record) ? "up" : "down");
        }
    }
    arena_reset(rules->arena);
}

/* ---- store and memory ---- */

static int group_compare(const void *a, const void *b)
{
    Groupseal__Secenv__GroupStatus *const *left = a;
    Groupseal__Secenv__GroupStatus *const *right = b;
    return strcmp((*left)->group, (*right)->group);
}

/* Without what only memory knows, or time changes; in one order. */
static void status_trim(Groupseal__Secenv__StatusReply *status)
{
    status->n_counters = 0;
    for (size_t i = 0; i < status->n_identities; i++) {
        Groupseal__Secenv__IdentityStatus *identity = status->identities[i];
        if (identity->n_groups != 0) {
            qsort(identity->groups, identity->n_groups, sizeof(identity->groups[0]), group_compare);
        }
        for (size_t j = 0; j < status->identities[i]->n_groups; j++) {
            status->identities[i]->groups[j]->synchronised = 0;
            status->identities[i]->groups[j]->overdue = 0;
            status->identities[i]->groups[j]->held = 0; /* after a start, until an MN-CSE has answered */
        }
    }
}

struct buffer rules_status(struct site_node *node)
{
    Groupseal__Secenv__Status content = GROUPSEAL__SECENV__STATUS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    struct buffer packed = BUFFER_EMPTY(65536);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &content;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_AUDIT, 9, &request);
    ALWAYS(reply->code == GROUPSEAL__SECENV__CODE__OK);
    size_t counters = reply->status->n_counters;
    status_trim(reply->status);
    size_t size = groupseal__secenv__status_reply__get_packed_size(reply->status);
    uint8_t *bytes = malloc(size + 1);
    ALWAYS(bytes != NULL);
    (void)groupseal__secenv__status_reply__pack(reply->status, bytes);
    ALWAYS(buffer_append(&packed, (struct bytes){bytes, size}) == RESULT_OK);
    free(bytes);
    reply->status->n_counters = counters; /* to be freed */
    site_reply_free(reply);
    return packed;
}

/* What an authority collects for one change is due at once after a start: its epochs may have risen. */
static void epochs_look(struct buffer *before, struct buffer *after)
{
    struct buffer *both[] = {before, after};
    uint64_t sums[2] = {0, 0};
    for (size_t k = 0; k < 2; k++) {
        Groupseal__Secenv__StatusReply *status =
            groupseal__secenv__status_reply__unpack(NULL, both[k]->length, both[k]->data);
        ALWAYS(status != NULL && status->n_identities == 1);
        for (size_t i = 0; i < status->identities[0]->n_groups; i++) {
            Groupseal__Secenv__GroupStatus *group = status->identities[0]->groups[i];
            sums[k] += group->epoch;
            group->epoch = 0;
            group->members = 0;
        }
        size_t size = groupseal__secenv__status_reply__get_packed_size(status);
        ALWAYS(size <= both[k]->length);
        both[k]->length = groupseal__secenv__status_reply__pack(status, both[k]->data);
        groupseal__secenv__status_reply__free_unpacked(status, NULL);
    }
    ALWAYS(sums[0] <= sums[1]);
}

void rules_restart(const struct rules *rules, struct site_node *node)
{
    struct buffer before = rules_status(node);
    site_restart(node);
    struct buffer after = rules_status(node);
    if (node == site_authority(rules->site)) {
        epochs_look(&before, &after);
    }
    if (!bytes_equal(buffer_bytes(&before), buffer_bytes(&after))) {
        (void)fprintf(stderr, "%s is another after a restart\n", site_name(node));
        abort();
    }
    buffer_clear(&before);
    buffer_clear(&after);
}
