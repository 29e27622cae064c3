/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Signed objects and group messages. Every field of every object is altered, one at a time, found through
 * the protobuf description so that a field added later is altered too: each alteration must be refused, and
 * the object must pass before it and after it is taken back.
 */
#include "secenv/objects/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef Groupseal__Envelope__Announcement announcement_type;
typedef Groupseal__Envelope__Block block_type;
typedef Groupseal__Envelope__Policy policy_type;
typedef Groupseal__Envelope__RosterEntry RosterEntry;
typedef Groupseal__Envelope__RosterDelta roster_delta_type;
typedef Groupseal__Envelope__RosterPage roster_page_type;
typedef Groupseal__Envelope__Order Order;

static struct signing_key authority_key;
static struct signing_key relay_key;
static struct signing_key member_key;
static uint8_t instance[INSTANCE_SIZE] = "instance-instanc";
static uint8_t body_data[] = "close";
static const struct bytes body = {body_data, 5};

static ProtobufCBinaryData view(void *data, size_t length)
{
    return (ProtobufCBinaryData){.len = length, .data = data};
}

static struct bytes key_view(const struct signing_key *key)
{
    return (struct bytes){key->public_key, VERIFY_KEY_SIZE};
}

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant; /* protobuf-c's fields are not const; nothing writes to them */
}

/* ---- altering ---- */

typedef enum result (*check_function)(const void *object);

struct alteration {
    const void *object; /* the whole */
    check_function check;
    const char *unsigned_field; /* one that no list has, or NULL */
    unsigned count;
};

static void expect_refused(struct alteration *alteration, const char *field)
{
    enum result result = alteration->check(alteration->object);
    if (result != RESULT_INVALID && result != RESULT_REFUSED) {
        fail_msg("altered %s: %s", field, result_word(result));
    }
    alteration->count++;
}

static void expect_taken(struct alteration *alteration, const char *field)
{
    enum result result = alteration->check(alteration->object);
    if (result != RESULT_OK) {
        fail_msg("%s as it was: %s", field, result_word(result));
    }
}

static void alter_message(struct alteration *alteration, ProtobufCMessage *message);

static void alter_bytes(struct alteration *alteration, ProtobufCBinaryData *value, const char *name)
{
    const ProtobufCBinaryData before = *value;
    uint8_t *changed = malloc(before.len + 1);
    assert_non_null(changed);
    value->data = changed;
    for (size_t at = 0; at < before.len; at++) {
        memcpy(changed, before.data, before.len);
        changed[at] ^= 1;
        expect_refused(alteration, name);
    }
    if (before.len > 0) {
        memcpy(changed, before.data, before.len);
        value->len = before.len - 1;
        expect_refused(alteration, name);
    }
    memcpy(changed, before.data, before.len);
    changed[before.len] = 0;
    value->len = before.len + 1;
    expect_refused(alteration, name);
    *value = before;
    free(changed);
    expect_taken(alteration, name);
}

static void alter_text(struct alteration *alteration, char **value, const char *name)
{
    char *before = *value;
    size_t length = strlen(before);
    char *changed = malloc(length + 2);
    assert_non_null(changed);
    *value = changed;
    memcpy(changed, before, length + 1);
    changed[length] = 'x';
    changed[length + 1] = '\0';
    expect_refused(alteration, name);
    if (length > 0) {
        changed[length] = '\0';
        changed[length - 1] = changed[length - 1] == 'a' ? 'b' : 'a';
        expect_refused(alteration, name);
    }
    *value = before;
    free(changed);
    expect_taken(alteration, name);
}

static void alter_integer(struct alteration *alteration, void *value, size_t size, const char *name)
{
    uint8_t *low = value; /* little-endian, as all of ours are */
    low[0] ^= 1;
    expect_refused(alteration, name);
    low[0] ^= 1;
    if (size > 1) {
        low[size - 1] ^= 0x40;
        expect_refused(alteration, name);
        low[size - 1] ^= 0x40;
    }
    expect_taken(alteration, name);
}

static void alter_value(struct alteration *alteration, const ProtobufCFieldDescriptor *field, void *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        alter_bytes(alteration, value, field->name);
        break;
    case PROTOBUF_C_TYPE_STRING:
        alter_text(alteration, value, field->name);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        alter_message(alteration, *(ProtobufCMessage **)value);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        alter_integer(alteration, value, 8, field->name);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        alter_integer(alteration, value, 4, field->name);
        break;
    default: /* bool, enum */
        alter_integer(alteration, value, 1, field->name);
        break;
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

static void alter_list(struct alteration *alteration, const ProtobufCFieldDescriptor *field,
                       ProtobufCMessage *message)
{
    size_t *count = (size_t *)(void *)((char *)message + field->quantifier_offset);
    char *values = *(char **)(void *)((char *)message + field->offset);
    for (size_t i = 0; i < *count; i++) {
        alter_value(alteration, field, values + i * value_size(field));
    }
    if (*count > 0) {
        (*count)--;
        expect_refused(alteration, field->name);
        (*count)++;
    }
    if (*count > 1) { /* first and second trade places */
        char spare[sizeof(ProtobufCBinaryData)];
        size_t size = value_size(field);
        memcpy(spare, values, size);
        memcpy(values, values + size, size);
        memcpy(values + size, spare, size);
        expect_refused(alteration, field->name);
        memcpy(values + size, values, size);
        memcpy(values, spare, size);
    }
    expect_taken(alteration, field->name);
}

static void alter_message(struct alteration *alteration, ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (alteration->unsigned_field != NULL && strcmp(alteration->unsigned_field, field->name) == 0) {
            continue;
        }
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            alter_list(alteration, field, message);
        } else {
            alter_value(alteration, field, (char *)message + field->offset);
        }
    }
}

static void assert_every_field_counts(void *object, check_function check, const char *unsigned_field)
{
    struct alteration alteration = {.object = object, .check = check, .unsigned_field = unsigned_field};
    expect_taken(&alteration, "the object");
    alter_message(&alteration, object);
    print_message("%u alterations of %s refused\n", alteration.count,
                  ((ProtobufCMessage *)object)->descriptor->short_name);
}

/* ---- announcement ---- */

static uint8_t confirmation[32] = "confirmation-confirmation-confir";
static uint8_t hash32[32] = "hash-hash-hash-hash-hash-hash-ha";
/* height 2, two members: leaves 0 and 1; the wrap is of leaf 1 */
static uint8_t top_nodes[8 + WRAP_SIZE] = {0x40, 0, 0x40, 0, 0x40, 0, 0, 0, 0xAA};
static uint8_t signature[SIGNATURE_SIZE];

static uint64_t evicted[EVICTED_LIMIT + 1];

static void announcement_make(announcement_type *announcement)
{
    groupseal__envelope__announcement__init(announcement);
    for (size_t i = 0; i <= EVICTED_LIMIT; i++) {
        evicted[i] = i + 1;
    }
    announcement->group = text("doors");
    announcement->instance = view(instance, sizeof(instance));
    announcement->incarnation = 5;
    announcement->epoch = 9;
    announcement->beat = 2;
    announcement->height = 2;
    announcement->confirmation = view(confirmation, sizeof(confirmation));
    announcement->policy_hash = view(hash32, sizeof(hash32));
    announcement->time_ms = 1700000000000;
    announcement->n_evicted = 2;
    announcement->evicted = evicted;
    announcement->top = view(top_nodes, sizeof(top_nodes));
    assert_int_equal(announcement_sign(announcement, &authority_key, signature), RESULT_OK);
}

static enum result announcement_checked(const void *object)
{
    struct reason why;
    return announcement_check(object, key_view(&authority_key), &why);
}

static void test_announcement(void **state)
{
    (void)state;
    announcement_type announcement;
    struct reason why;
    announcement_make(&announcement);
    assert_every_field_counts(&announcement, announcement_checked, NULL);
    assert_int_equal(announcement_check(&announcement, key_view(&relay_key), &why), RESULT_REFUSED);
    assert_non_null(strstr(why.text, "doors"));
}

/* <noun>_refused(object): the limits, on both sides. */
#define REFUSED(noun)                                                                                        \
    static void noun##_refused(noun##_type *object)                                                          \
    {                                                                                                        \
        struct reason why;                                                                                   \
        uint8_t made[SIGNATURE_SIZE];                                                                        \
        assert_int_equal(noun##_sign(object, &authority_key, made), RESULT_INVALID);                         \
        assert_int_equal(noun##_check(object, key_view(&authority_key), &why), RESULT_INVALID);              \
    }

REFUSED(announcement)
REFUSED(block)
REFUSED(policy)
REFUSED(roster_delta)
REFUSED(roster_page)

static void test_announcement_limits(void **state)
{
    (void)state;
    announcement_type announcement;
    announcement_make(&announcement);
    announcement.n_evicted = EVICTED_LIMIT;
    assert_int_equal(announcement_sign(&announcement, &authority_key, signature), RESULT_OK);
    assert_int_equal(announcement_checked(&announcement), RESULT_OK);
    announcement.n_evicted = EVICTED_LIMIT + 1;
    announcement_refused(&announcement);
    announcement_make(&announcement);
    evicted[1] = UINT64_MAX - evicted[0];
    assert_int_equal(announcement_sign(&announcement, &authority_key, signature), RESULT_OK);
    evicted[1]++;
    announcement_refused(&announcement);
    announcement_make(&announcement);
    evicted[0] = 0;
    announcement_refused(&announcement);
    announcement_make(&announcement);
    announcement.group = text("doors/1");
    announcement_refused(&announcement);
    announcement_make(&announcement);
    announcement.instance.len = 15;
    announcement_refused(&announcement);
    announcement_make(&announcement);
    announcement.height = 0;
    announcement_refused(&announcement);
    announcement.height = 5; /* then the top block is of row 1 and the map's places are wrong */
    announcement_refused(&announcement);
    announcement.height = TREE_HEIGHT_MAX + 1;
    announcement_refused(&announcement);
    announcement_make(&announcement);
    announcement.top.len--;
    announcement_refused(&announcement);
    announcement_make(&announcement);
    announcement.confirmation.len = 0;
    announcement_refused(&announcement);
}

static void test_announcement_order(void **state)
{
    (void)state;
    announcement_type a = GROUPSEAL__ENVELOPE__ANNOUNCEMENT__INIT;
    announcement_type b = GROUPSEAL__ENVELOPE__ANNOUNCEMENT__INIT;
    a.incarnation = b.incarnation = 3;
    a.epoch = b.epoch = 8;
    a.beat = b.beat = 1;
    assert_int_equal(announcement_compare(&a, &b), 0);
    b.beat = 2;
    assert_true(announcement_compare(&a, &b) < 0);
    a.epoch = 9;
    assert_true(announcement_compare(&a, &b) > 0);
    b.incarnation = UINT64_MAX;
    assert_true(announcement_compare(&a, &b) < 0);
}

/* ---- block ---- */

static uint8_t block_nodes[8 + WRAP_SIZE] = {0, 0, 0, 0, 0x40, 0, 0, 0, 0xBB};

static enum result block_checked(const void *object)
{
    return block_check(object, key_view(&authority_key), NULL);
}

static void block_make(block_type *block)
{
    /* leaves 0 and 1 alone: places 0, 8, 12 and 14, each from the left */
    static const uint8_t sources[4] = {0x40, 0, 0x40, 0x44};
    memcpy(block_nodes, sources, sizeof(sources));
    groupseal__envelope__block__init(block);
    block->instance = view(instance, sizeof(instance));
    block->incarnation = 5;
    block->epoch = 9;
    block->row = 0;
    block->column = 1;
    block->height = 6;
    block->nodes = view(block_nodes, sizeof(block_nodes));
    assert_int_equal(block_sign(block, &authority_key, signature), RESULT_OK);
}

static void test_block(void **state)
{
    (void)state;
    block_type block;
    block_make(&block);
    assert_every_field_counts(&block, block_checked, NULL);
    block.column = 3;
    assert_int_equal(block_sign(&block, &authority_key, signature), RESULT_OK);
    block.column = 4; /* a tree of height 6 has four blocks in row 0 */
    block_refused(&block);
    block_make(&block);
    block.row = 1; /* the top row rides in the announcement */
    block_refused(&block);
    block_make(&block);
    block.height = 4;
    block_refused(&block);
    block.height = TREE_HEIGHT_MAX + 1;
    block_refused(&block);
    block_make(&block);
    block.nodes.len = 8;
    block_refused(&block);
}

/* ---- policy ---- */

static uint8_t keys[3][VERIFY_KEY_SIZE] = {"first-key-first-key-first-key-fi",
                                           "second-key-second-key-second-key",
                                           "third-key-third-key-third-key-th"};

struct policy_fixture {
    policy_type policy;
    Groupseal__Envelope__Relay relays[RELAYS_LIMIT + 1];
    Groupseal__Envelope__Relay *relay_list[RELAYS_LIMIT + 1];
    Groupseal__Envelope__Commander commanders[COMMANDERS_LIMIT + 1];
    Groupseal__Envelope__Commander *commander_list[COMMANDERS_LIMIT + 1];
    char names[COMMANDERS_LIMIT + 1][64];
    char *sites[RELAYS_LIMIT + 1];
    uint8_t signature[SIGNATURE_SIZE];
};

static enum result policy_checked(const void *object)
{
    return policy_check(object, key_view(&authority_key), NULL);
}

static void policy_make(struct policy_fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    policy_type *policy = &fixture->policy;
    groupseal__envelope__policy__init(policy);
    policy->group = text("doors");
    policy->instance = view(instance, sizeof(instance));
    policy->incarnation = 5;
    policy->number = 3;
    for (size_t i = 0; i <= RELAYS_LIMIT; i++) {
        Groupseal__Envelope__Relay *relay = &fixture->relays[i];
        groupseal__envelope__relay__init(relay);
        relay->name = text(i == 0 ? "//sp.example/mn-1" : "//sp.example/mn-2");
        relay->site = text(i == 0 ? "mn-1" : "mn-2");
        relay->incarnation = 5;
        relay->serial = i;
        relay->key = view(keys[i == 0 ? 0 : 1], VERIFY_KEY_SIZE);
        fixture->relay_list[i] = relay;
        fixture->sites[i] = text(i == 0 ? "mn-1" : "mn-2");
    }
    for (size_t i = 0; i <= COMMANDERS_LIMIT; i++) {
        Groupseal__Envelope__Commander *commander = &fixture->commanders[i];
        groupseal__envelope__commander__init(commander);
        snprintf(fixture->names[i], sizeof(fixture->names[i]), "//sp.example/commander-%zu", i);
        commander->name = fixture->names[i];
        commander->key = view(keys[2], VERIFY_KEY_SIZE);
        commander->n_sites = i == 0 ? 2 : 0;
        commander->sites = fixture->sites;
        fixture->commander_list[i] = commander;
    }
    policy->n_relays = 2;
    policy->relays = fixture->relay_list;
    policy->n_commanders = 2;
    policy->commanders = fixture->commander_list;
    policy->aead = GROUPSEAL__ENVELOPE__AEAD__AEAD_AES_256_GCM;
    policy->overlap_ms = 30000;
    policy->response_window_ms = 500;
    policy->beat_interval_s = 900;
    policy->authority_only = true;
    assert_int_equal(policy_sign(policy, &authority_key, fixture->signature), RESULT_OK);
}

static void test_policy(void **state)
{
    (void)state;
    static struct policy_fixture fixture;
    uint8_t first[HASH_SIZE];
    uint8_t second[HASH_SIZE];
    policy_make(&fixture);
    assert_every_field_counts(&fixture.policy, policy_checked, NULL);
    assert_int_equal(policy_hash(&fixture.policy, first), RESULT_OK);
    fixture.policy.beat_interval_s++;
    assert_int_equal(policy_hash(&fixture.policy, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
}

static void test_policy_limits(void **state)
{
    (void)state;
    static struct policy_fixture fixture;
    policy_type *policy = &fixture.policy;

    policy_make(&fixture);
    policy->n_relays = RELAYS_LIMIT;
    policy->n_commanders = COMMANDERS_LIMIT;
    fixture.commanders[0].n_sites = RELAYS_LIMIT;
    assert_int_equal(policy_sign(policy, &authority_key, signature), RESULT_OK);
    assert_int_equal(policy_checked(policy), RESULT_OK);
    policy->n_relays = RELAYS_LIMIT + 1;
    policy_refused(policy);
    policy->n_relays = RELAYS_LIMIT;
    policy->n_commanders = COMMANDERS_LIMIT + 1;
    policy_refused(policy);
    policy->n_commanders = COMMANDERS_LIMIT;
    fixture.commanders[0].n_sites = RELAYS_LIMIT + 1;
    policy_refused(policy);
}

static void test_policy_fields(void **state)
{
    (void)state;
    static struct policy_fixture fixture;
    policy_type *policy = &fixture.policy;

    policy_make(&fixture);
    policy->aead = (Groupseal__Envelope__Aead)2;
    policy_refused(policy);
    policy_make(&fixture);
    fixture.relays[1].key.len = 31;
    policy_refused(policy);
    policy_make(&fixture);
    fixture.relays[1].name = text("mn-2");
    policy_refused(policy);
    policy_make(&fixture);
    fixture.relays[1].site = text("mn/2");
    policy_refused(policy);
    policy_make(&fixture); /* two relays that no message could tell apart */
    fixture.relays[1].site = fixture.relays[0].site;
    fixture.relays[1].serial = fixture.relays[0].serial;
    policy_refused(policy);
    policy_make(&fixture);
    fixture.commanders[1].name = fixture.commanders[0].name;
    policy_refused(policy);
    policy_make(&fixture);
    fixture.commanders[1].key.len = 0;
    policy_refused(policy);
}

static void test_policy_of_authority_only(void **state)
{
    (void)state;
    static struct policy_fixture fixture;
    policy_make(&fixture);
    fixture.commanders[1].name = text("//sp.example/mn-2");
    policy_refused(&fixture.policy);
    fixture.policy.authority_only = false; /* the twin: a rule of an MN-CSE is allowed */
    assert_int_equal(policy_sign(&fixture.policy, &authority_key, signature), RESULT_OK);
    policy_make(&fixture);
    fixture.commanders[1].key = fixture.relays[0].key;
    policy_refused(&fixture.policy);
}

static void test_policy_lookups(void **state)
{
    (void)state;
    static struct policy_fixture fixture;
    const policy_type *policy = &fixture.policy;
    policy_make(&fixture);
    assert_ptr_equal(policy_relay(policy, "mn-2", 5, 1), &fixture.relays[1]);
    assert_null(policy_relay(policy, "mn-1", 5, 1));
    assert_null(policy_relay(policy, "mn-2", 4, 1));
    assert_null(policy_relay(policy, "mn-2", 5, 2));

    assert_ptr_equal(policy_commander(policy, "//sp.example/commander-0", "mn-2"), &fixture.commanders[0]);
    assert_null(policy_commander(policy, "//sp.example/commander-0", "mn-3"));
    assert_ptr_equal(policy_commander(policy, "//sp.example/commander-1", "mn-3"), &fixture.commanders[1]);
    assert_null(policy_commander(policy, "//sp.example/commander-2", "mn-1"));
    assert_null(policy_commander(policy, "", "mn-1")); /* there are two */
    assert_null(policy_commander(policy, NULL, "mn-1"));
    fixture.policy.n_commanders = 1;
    assert_ptr_equal(policy_commander(policy, "", "mn-1"), &fixture.commanders[0]);
    assert_ptr_equal(policy_commander(policy, NULL, "mn-1"), &fixture.commanders[0]);
    assert_null(policy_commander(policy, NULL, "mn-3"));
}

/* ---- roster ---- */

#define ENTRIES (PAGE_ENTRIES_LIMIT + 1)

struct roster_fixture {
    RosterEntry entries[ENTRIES];
    RosterEntry *list[ENTRIES];
    char names[ENTRIES][40];
    char gone[ENTRIES][40];
    char *removed[ENTRIES];
    uint8_t signature[SIGNATURE_SIZE];
};

static struct roster_fixture roster;

static void roster_make(void)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        RosterEntry *entry = &roster.entries[i];
        groupseal__envelope__roster_entry__init(entry);
        snprintf(roster.names[i], sizeof(roster.names[i]), "//sp.example/Sdoor%03zu", i);
        snprintf(roster.gone[i], sizeof(roster.gone[i]), "//sp.example/Sgone%03zu", i);
        entry->name = roster.names[i];
        entry->incarnation = 5;
        entry->serial = i + 1;
        entry->signing_key = view(keys[0], VERIFY_KEY_SIZE);
        entry->site = text(i == 0 ? "" : "mn-1");
        roster.list[i] = entry;
        roster.removed[i] = roster.gone[i];
    }
}

static void delta_make(roster_delta_type *delta)
{
    roster_make();
    groupseal__envelope__roster_delta__init(delta);
    delta->group = text("doors");
    delta->instance = view(instance, sizeof(instance));
    delta->incarnation = 5;
    delta->number = 8;
    delta->n_set = 3;
    delta->set = roster.list;
    delta->n_removed = 2;
    delta->removed = roster.removed;
    delta->hash = view(hash32, sizeof(hash32));
    assert_int_equal(roster_delta_sign(delta, &authority_key, roster.signature), RESULT_OK);
}

static enum result delta_checked(const void *object)
{
    return roster_delta_check(object, key_view(&authority_key), NULL);
}

static void test_roster_delta(void **state)
{
    (void)state;
    roster_delta_type delta;
    delta_make(&delta);
    assert_every_field_counts(&delta, delta_checked, NULL);

    delta.n_set = PAGE_ENTRIES_LIMIT;
    delta.n_removed = PAGE_ENTRIES_LIMIT;
    assert_int_equal(roster_delta_sign(&delta, &authority_key, signature), RESULT_OK);
    assert_int_equal(delta_checked(&delta), RESULT_OK);
    delta.n_set++;
    roster_delta_refused(&delta);
    delta_make(&delta);
    delta.n_removed = PAGE_ENTRIES_LIMIT + 1;
    roster_delta_refused(&delta);
    delta_make(&delta);
    roster.removed[1] = roster.names[2]; /* set and removed */
    roster_delta_refused(&delta);
    delta_make(&delta);
    roster.entries[1].name = roster.names[0]; /* twice */
    roster_delta_refused(&delta);
    delta_make(&delta);
    roster.removed[0] = roster.gone[1];
    roster_delta_refused(&delta);
    delta_make(&delta);
    roster.entries[2].signing_key.len = 33;
    roster_delta_refused(&delta);
    delta_make(&delta);
    delta.hash.len = 20;
    roster_delta_refused(&delta);
}

static void page_make(roster_page_type *page)
{
    roster_make();
    groupseal__envelope__roster_page__init(page);
    page->group = text("doors");
    page->instance = view(instance, sizeof(instance));
    page->incarnation = 5;
    page->number = 8;
    page->page = 1;
    page->pages = 3;
    page->n_entries = 2;
    page->entries = roster.list;
    page->hash = view(hash32, sizeof(hash32));
    assert_int_equal(roster_page_sign(page, &authority_key, roster.signature), RESULT_OK);
}

static enum result page_checked(const void *object)
{
    return roster_page_check(object, key_view(&authority_key), NULL);
}

static void test_roster_page(void **state)
{
    (void)state;
    roster_page_type page;
    page_make(&page);
    assert_every_field_counts(&page, page_checked, NULL);
    page.n_entries = PAGE_ENTRIES_LIMIT;
    assert_int_equal(roster_page_sign(&page, &authority_key, signature), RESULT_OK);
    page.n_entries = PAGE_ENTRIES_LIMIT + 1;
    roster_page_refused(&page);
    page_make(&page);
    page.page = 3;
    roster_page_refused(&page);
    page_make(&page);
    page.group = text("");
    roster_page_refused(&page);
}

static void test_roster_hash(void **state)
{
    (void)state;
    uint8_t first[HASH_SIZE];
    uint8_t second[HASH_SIZE];
    roster_make();
    assert_int_equal(roster_hash(roster.list, 3, first), RESULT_OK);
    assert_int_equal(roster_hash(roster.list, 2, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
    roster.entries[1].serial++;
    assert_int_equal(roster_hash(roster.list, 3, second), RESULT_OK);
    assert_memory_not_equal(first, second, HASH_SIZE);
    roster.list[0] = &roster.entries[1];
    roster.list[1] = &roster.entries[0];
    assert_int_equal(roster_hash(roster.list, 3, second), RESULT_INVALID);
    assert_int_equal(roster_hash(NULL, 0, second), RESULT_OK);
}

/* ---- order ---- */

static uint8_t command_id[COMMAND_ID_SIZE] = "command-id-comma";
static char *targets[TARGETS_LIMIT + 1];
static char *sites[RELAYS_LIMIT + 1];

static void order_make(Order *order)
{
    for (size_t i = 0; i <= TARGETS_LIMIT; i++) {
        targets[i] = text(i == 0 ? "//sp.example/Sdoor1" : "//sp.example/mn-1/C7");
    }
    for (size_t i = 0; i <= RELAYS_LIMIT; i++) {
        sites[i] = text(i == 0 ? "mn-1" : "mn-2");
    }
    groupseal__envelope__order__init(order);
    order->command_id = view(command_id, sizeof(command_id));
    order->issued_ms = 1700000000000;
    order->expires_ms = 1700000060000;
    order->n_targets = 2;
    order->targets = targets;
    order->n_sites = 2;
    order->sites = sites;
    order->commander = text("//sp.example/in-cse");
    assert_int_equal(order_sign(order, instance, 5, body, &authority_key, signature), RESULT_OK);
}

static enum result order_checked(const void *object)
{
    return order_check(object, instance, 5, "mn-2", body, key_view(&authority_key), NULL);
}

static void test_order(void **state)
{
    (void)state;
    Order order;
    struct reason why;
    order_make(&order);
    /* commander is a hint for finding the key, and not in the list */
    assert_every_field_counts(&order, order_checked, "commander");

    struct bytes key = key_view(&authority_key);
    uint8_t other[INSTANCE_SIZE] = {0};
    assert_int_equal(order_check(&order, other, 5, "mn-2", body, key, &why), RESULT_REFUSED);
    assert_int_equal(order_check(&order, instance, 6, "mn-2", body, key, &why), RESULT_REFUSED);
    assert_int_equal(order_check(&order, instance, 5, "mn-3", body, key, &why), RESULT_REFUSED);
    assert_non_null(strstr(why.text, "mn-3"));
    assert_int_equal(order_check(&order, instance, 5, "mn-2", (struct bytes){body_data, 4}, key, &why),
                     RESULT_REFUSED);
    assert_int_equal(order_check(&order, instance, 5, "mn-2", body, key_view(&relay_key), &why),
                     RESULT_REFUSED);
    order.n_sites = 0;
    assert_int_equal(order_sign(&order, instance, 5, body, &authority_key, signature), RESULT_OK);
    assert_int_equal(order_check(&order, instance, 5, "mn-3", body, key, &why), RESULT_OK);
}

static void assert_order_refused(Order *order, struct bytes with)
{
    uint8_t hash[HASH_SIZE];
    struct reason why;
    assert_int_equal(order_hash(order, instance, 5, with, hash), RESULT_INVALID);
    assert_int_equal(order_sign(order, instance, 5, with, &authority_key, signature), RESULT_INVALID);
    assert_int_equal(order_check(order, instance, 5, "mn-2", with, key_view(&authority_key), &why),
                     RESULT_INVALID);
}

static void test_order_limits(void **state)
{
    (void)state;
    Order order;
    static uint8_t large[BODY_LIMIT + 1];
    order_make(&order);
    order.n_targets = TARGETS_LIMIT;
    order.n_sites = RELAYS_LIMIT;
    assert_int_equal(
        order_sign(&order, instance, 5, (struct bytes){large, BODY_LIMIT}, &authority_key, signature),
        RESULT_OK);
    assert_order_refused(&order, BYTES_OF(large));
    order.n_targets++;
    assert_order_refused(&order, body);
    order_make(&order);
    order.n_sites = RELAYS_LIMIT + 1;
    assert_order_refused(&order, body);
    order_make(&order);
    order.command_id.len = 8;
    assert_order_refused(&order, body);
    order_make(&order);
    targets[1] = text("Sdoor1");
    assert_order_refused(&order, body);
    order_make(&order);
    sites[1] = text("");
    assert_order_refused(&order, body);
    order_make(&order);
    order.commander = text("in-cse");
    assert_order_refused(&order, body);
}

static void test_order_targets(void **state)
{
    (void)state;
    Order order;
    order_make(&order);
    assert_true(order_targets(&order, "//sp.example/Sdoor1"));
    assert_false(order_targets(&order, "//sp.example/Sdoor2"));
    order.n_targets = 0;
    assert_true(order_targets(&order, "//sp.example/Sdoor2"));
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    char longest[NAME_LIMIT + 2];
    static const char *const good[] = {"//sp.example/in-cse", "//sp/Sdoor_1", "//sp/mn-1/C4", "//a:b/C"};
    static const char *const bad[] = {"",         "//",         "//sp",       "//sp/",    "/sp/mn-1",
                                      "mn-1",     "//sp/mn-1/", "//sp/mn/S4", "///mn-1",  "//sp/mn/C/4",
                                      "//sp/m+",  "//sp/#",     "//sp/mn 1",  "//sp/m\n", "//sp/m\xC3\xA4",
                                      "//sp//C4", "//sp/mn/C4/"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(object_name_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(object_name_valid(bad[i]));
    }
    assert_false(object_name_valid(NULL));
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "//sp/", 5);
    longest[NAME_LIMIT + 1] = '\0';
    assert_false(object_name_valid(longest));
    longest[NAME_LIMIT] = '\0';
    assert_true(object_name_valid(longest));

    assert_true(object_group_valid("Group-1_a.b"));
    assert_false(object_group_valid("a:b"));
    assert_false(object_group_valid("a/b"));
    assert_false(object_group_valid(""));
    assert_false(object_group_valid(NULL));
    assert_true(object_site_valid("mn-1"));
    assert_false(object_site_valid("mn/1"));
    longest[GROUP_NAME_LIMIT + 5] = '\0';
    assert_true(object_group_valid(longest + 5));
    assert_true(object_site_valid(longest + 5));
    longest[GROUP_NAME_LIMIT + 5] = 'a';
    longest[GROUP_NAME_LIMIT + 6] = '\0';
    assert_false(object_group_valid(longest + 5));
    assert_false(object_site_valid(longest + 5));

    char site[SITE_LIMIT + 1];
    assert_int_equal(object_site_of("//sp.example/mn-1", site, sizeof(site)), RESULT_OK);
    assert_string_equal(site, "mn-1");
    assert_int_equal(object_site_of("//sp.example/mn-1/C4", site, sizeof(site)), RESULT_INVALID);
    assert_int_equal(object_site_of("mn-1", site, sizeof(site)), RESULT_INVALID);
    assert_int_equal(object_site_of("//sp.example/mn-1", site, 4), RESULT_INVALID);
    assert_int_equal(object_site_of(longest, site, sizeof(site)), RESULT_INVALID);
}

/* ---- encodings ---- */

/* A policy whose bytes are these: taken or not. */
static bool unpacks(const char *packed, size_t length)
{
    struct arena *arena = arena_new(1u << 20);
    assert_non_null(arena);
    const struct bytes bytes = {(const uint8_t *)packed, length};
    bool taken = object_unpack(&groupseal__envelope__policy__descriptor, bytes, arena) != NULL;
    arena_free(arena);
    return taken;
}

#define UNPACKS(literal) unpacks(literal, sizeof(literal) - 1)

/* Of each pair the second is what the first is not: see docs/protocol.md section 1. */
static void test_encoding(void **state)
{
    (void)state;
    assert_true(UNPACKS(""));
    assert_true(UNPACKS("\x0a\x02"
                        "ab"));
    assert_false(UNPACKS("\x0a\x02"
                         "a\0")); /* text with NUL */
    assert_false(UNPACKS("\x0a\x03"
                         "ab"));
    assert_true(UNPACKS("\x0a\x02\xc3\xa9"));
    assert_false(UNPACKS("\x0a\x02\xc0\xa9")); /* a longer form */
    assert_false(UNPACKS("\x0a\x01\xc3"));
    assert_true(UNPACKS("\x0a\x03\xed\x9f\xbf"));
    assert_false(UNPACKS("\x0a\x03\xed\xa0\x80")); /* a surrogate */
    assert_true(UNPACKS("\x0a\x04\xf4\x8f\xbf\xbf"));
    assert_false(UNPACKS("\x0a\x04\xf4\x90\x80\x80")); /* beyond U+10FFFF */
    assert_false(UNPACKS("\x0a\x04\xf0\x90\x41\x80"));
    assert_true(UNPACKS("\x12\x02\xc0\x00")); /* bytes may be any */
    assert_true(UNPACKS("\x58\x01"));
    assert_false(UNPACKS("\x59\x01\0\0\0\0\0\0\0")); /* a bool of another wire type */
    assert_true(UNPACKS("\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(UNPACKS("\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")); /* over 64 bits */
    assert_false(UNPACKS("\x58\xff"));
    assert_false(UNPACKS("\x58\x01\x58\x01")); /* twice, and not repeated */
    assert_true(UNPACKS("\x58\x01\x60\x01"));
    assert_true(UNPACKS("\x2a\x00\x2a\x00"));             /* relays are repeated */
    assert_false(UNPACKS("\x2a\x04\x20\x01\x20\x01"));    /* in a message in it, too */
    assert_true(UNPACKS("\x98\x06\x01\x9d\x06\0\0\0\0")); /* unknown fields */
    assert_false(UNPACKS("\x9b\x06\x9c\x06"));            /* groups */
    assert_false(UNPACKS("\x00\x01"));                    /* field 0 */

    static char large[OBJECT_LIMIT + 2] = "\x12\xfc\xff\x02";
    assert_true(unpacks(large, OBJECT_LIMIT));
    large[1]++; /* its length, by one */
    assert_false(unpacks(large, OBJECT_LIMIT + 1));
}

static int setup(void **state)
{
    (void)state;
    return signing_key_make(&authority_key) == RESULT_OK && signing_key_make(&relay_key) == RESULT_OK &&
                   signing_key_make(&member_key) == RESULT_OK
               ? 0
               : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announcement),
        cmocka_unit_test(test_announcement_limits),
        cmocka_unit_test(test_announcement_order),
        cmocka_unit_test(test_block),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_policy_limits),
        cmocka_unit_test(test_policy_fields),
        cmocka_unit_test(test_policy_of_authority_only),
        cmocka_unit_test(test_policy_lookups),
        cmocka_unit_test(test_roster_delta),
        cmocka_unit_test(test_roster_page),
        cmocka_unit_test(test_roster_hash),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_limits),
        cmocka_unit_test(test_order_targets),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_encoding),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
