/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Everything that a member's engine hears, into an engine with a device and an MN-CSE that are ready: raw
 * payloads of each topic; and, so that what lies behind the keys is reached too, plaintexts that are sealed
 * with the right keys, and record bodies in the association with the authority.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "secenv/log.h"
#include "secenv/member/membership.h"
#include "secenv/member/news.h"
#include "secenv/member/relay.h"
#include "tests/fuzz/fuzz.h"

#define DOOR "//sp.example/Sdoor1"
#define MN_CSE "//sp.example/mn-1"
#define IN_CSE "//sp.example/in-cse"
#define SITE "mn-1"
#define GROUP "doors"

#define MUST(expression)                                                                                     \
    do {                                                                                                     \
        struct reason why = {""};                                                                            \
        if ((expression) != RESULT_OK) {                                                                     \
            (void)fprintf(stderr, "%s: %s\n", #expression, why.text);                                        \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static char directory[] = "/tmp/groupseal-fuzz-XXXXXX";
static struct store *store;
static struct engine *engine;
static struct arena *arena;
static struct membership *door;
static struct membership *mn;
static struct association authority_side[2];
static struct signing_key authority;
static uint8_t instance[INSTANCE_SIZE] = {7};

static enum result event_drop(void *context, uint64_t connection, const Groupseal__Secenv__Event *event)
{
    (void)context;
    (void)connection;
    (void)groupseal__secenv__event__get_packed_size(event);
    return RESULT_OK;
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void directory_remove(void)
{
    (void)nftw(directory, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a site that is ready ---- */

static void identity_add(const char *name, enum identity_kind kind)
{
    struct identity identity;
    memset(&identity, 0, sizeof(identity));
    (void)snprintf(identity.name, sizeof(identity.name), "%s", name);
    (void)snprintf(identity.authority, sizeof(identity.authority), "%s", IN_CSE);
    (void)snprintf(identity.authority_san, sizeof(identity.authority_san), "in-cse.sp.example");
    (void)snprintf(identity.psk_identity, sizeof(identity.psk_identity), "%s", name);
    identity.kind = kind;
    identity.mode = CREDENTIALS_PSK;
    MUST(random_bytes(identity.psk.data, SECRET_SIZE));
    MUST(identity_store(store, &identity, false, &why));
    identity_clear(&identity);
}

static void package_give(const char *name, uint32_t leaf_index, const struct secret *leaf)
{
    char *sites[1] = {(char *)SITE};
    Groupseal__Envelope__KeyPackage package = GROUPSEAL__ENVELOPE__KEY_PACKAGE__INIT;
    package.group = (char *)GROUP;
    package.instance = arena_field(BYTES_OF(instance));
    package.incarnation = 1;
    package.epoch = 1;
    package.leaf_index = leaf_index;
    package.leaf_secret = arena_field(secret_bytes(leaf));
    package.serial = leaf_index + 1u;
    package.authority_key = arena_field(BYTES_OF(authority.public_key));
    package.sites = sites;
    package.n_sites = 1;
    MUST(membership_take_package(engine_identity(engine, name), &package, &why));
}

static void news_give(struct tree *tree)
{
    uint8_t signature[2][SIGNATURE_SIZE];
    uint8_t hash[HASH_SIZE];
    struct secret root;
    struct secret key;
    struct secret confirmation;
    struct buffer top = BUFFER_EMPTY(TREE_PACKED_MAX);
    Groupseal__Envelope__Relay relay = GROUPSEAL__ENVELOPE__RELAY__INIT;
    Groupseal__Envelope__Commander commander = GROUPSEAL__ENVELOPE__COMMANDER__INIT;
    Groupseal__Envelope__Relay *relays[1] = {&relay};
    Groupseal__Envelope__Commander *commanders[1] = {&commander};
    Groupseal__Envelope__Policy policy = GROUPSEAL__ENVELOPE__POLICY__INIT;
    Groupseal__Envelope__Announcement announcement = GROUPSEAL__ENVELOPE__ANNOUNCEMENT__INIT;
    Groupseal__Envelope__Change change = GROUPSEAL__ENVELOPE__CHANGE__INIT;
    relay.name = (char *)MN_CSE;
    relay.site = (char *)SITE;
    relay.incarnation = 1;
    relay.serial = mn->serial;
    relay.key = arena_field(BYTES_OF(mn->identity->signing.public_key));
    commander.name = (char *)IN_CSE;
    commander.key = arena_field(BYTES_OF(authority.public_key));
    policy.group = (char *)GROUP;
    policy.instance = arena_field(BYTES_OF(instance));
    policy.incarnation = 1;
    policy.number = 1;
    policy.relays = relays;
    policy.n_relays = 1;
    policy.commanders = commanders;
    policy.n_commanders = 1;
    MUST(policy_sign(&policy, &authority, signature[0]));
    MUST(policy_hash(&policy, hash));
    if (!tree_root(tree, &root)) {
        abort();
    }
    MUST(epoch_secret(&root, instance, 1, 1, &key));
    MUST(epoch_confirmation(&key, &confirmation));
    MUST(tree_pack(tree, (struct tree_place){0, 0}, &top, NULL));
    announcement.group = (char *)GROUP;
    announcement.instance = arena_field(BYTES_OF(instance));
    announcement.incarnation = 1;
    announcement.epoch = 1;
    announcement.height = tree_height(tree);
    announcement.confirmation = arena_field(secret_bytes(&confirmation));
    announcement.policy_hash = arena_field(BYTES_OF(hash));
    announcement.top = arena_field(buffer_bytes(&top));
    MUST(announcement_sign(&announcement, &authority, signature[1]));
    change.group = (char *)GROUP;
    change.instance = arena_field(BYTES_OF(instance));
    change.policy = &policy;
    change.announcement = &announcement;
    MUST(relay_take_change(mn->identity, &change, &why));
    MUST(news_take_policy(door, &policy, &why));
    MUST(news_take_announcement(door, &announcement, &why));
    buffer_clear(&top);
}

static void roster_give(void)
{
    uint8_t signature[SIGNATURE_SIZE];
    uint8_t hash[HASH_SIZE];
    Groupseal__Envelope__RosterEntry rows[2];
    Groupseal__Envelope__RosterEntry *entries[2] = {&rows[0], &rows[1]};
    const struct membership *members[2] = {door, mn};
    Groupseal__Envelope__RosterDelta delta = GROUPSEAL__ENVELOPE__ROSTER_DELTA__INIT;
    for (size_t i = 0; i < 2; i++) {
        groupseal__envelope__roster_entry__init(&rows[i]);
        rows[i].name = (char *)members[i]->identity->identity.name;
        rows[i].incarnation = 1;
        rows[i].serial = members[i]->serial;
        rows[i].signing_key = arena_field(BYTES_OF(members[i]->identity->signing.public_key));
        rows[i].site = (char *)SITE;
    }
    MUST(roster_hash(entries, 2, hash));
    delta.group = (char *)GROUP;
    delta.instance = arena_field(BYTES_OF(instance));
    delta.incarnation = 1;
    delta.number = 1;
    delta.set = entries;
    delta.n_set = 2;
    delta.hash = arena_field(BYTES_OF(hash));
    MUST(roster_delta_sign(&delta, &authority, signature));
    MUST(roster_take_delta(mn->identity, &delta, &why));
}

static void association_give(size_t index, const char *name)
{
    struct identity_state *identity = engine_identity(engine, name);
    struct agreement agreement = {.mode = CREDENTIALS_PSK, .mechanism = MECHANISM_WRAP};
    agreement.id[0] = (uint8_t)(index + 1);
    association_init(&identity->association, ASSOCIATION_MEMBER, ASSOCIATION_CURRENT, name, IN_CSE,
                     &agreement, 1);
    association_init(&authority_side[index], ASSOCIATION_AUTHORITY, ASSOCIATION_CURRENT, name, IN_CSE,
                     &agreement, 1);
    identity->associated = true;
    identity->online = true;
    MUST(association_save(&identity->association, store, &why));
}

/* Whatever became of memory: what the store has, and synchronised. */
static void site_refresh(void)
{
    MUST(store_begin(store, &why));
    MUST(identity_state_reload(engine_identity(engine, DOOR), &why));
    MUST(identity_state_reload(engine_identity(engine, MN_CSE), &why));
    store_rollback(store);
    door = membership_find(engine_identity(engine, DOOR), GROUP);
    mn = membership_find(engine_identity(engine, MN_CSE), GROUP);
    if (door == NULL || mn == NULL || !membership_ready(door) || !membership_ready(mn)) {
        abort();
    }
    door->sites[0].synchronised = true;
    door->sites[0].relay_incarnation = mn->incarnation;
    door->sites[0].relay_serial = mn->serial;
}

static void groups_give(void)
{
    struct tree_leaf_change leaves[2] = {{.index = 0, .occupied = true}, {.index = 1, .occupied = true}};
    size_t touched = 0;
    struct tree *tree = tree_new(NULL);
    MUST(random_bytes(leaves[0].secret.data, SECRET_SIZE));
    MUST(random_bytes(leaves[1].secret.data, SECRET_SIZE));
    MUST(tree_change(tree, leaves, 2, false, NULL, 0, &touched, NULL));
    package_give(DOOR, 0, &leaves[0].secret);
    package_give(MN_CSE, 1, &leaves[1].secret);
    door = membership_find(engine_identity(engine, DOOR), GROUP);
    mn = membership_find(engine_identity(engine, MN_CSE), GROUP);
    news_give(tree);
    roster_give();
    tree_free(tree);
}

static void site_make(void)
{
    static char root_key[sizeof(directory) + 32];
    static char place[sizeof(directory) + 8];
    log_threshold(LOG_LEVEL_ALARM);
    if (mkdtemp(directory) == NULL) {
        abort();
    }
    (void)atexit(directory_remove);
    (void)snprintf(place, sizeof(place), "%s/store", directory);
    (void)snprintf(root_key, sizeof(root_key), "%s/root.key", place);
    MUST(store_create(place, STORE_MEMBER, root_key, &why));
    MUST(store_open(place, STORE_MEMBER, root_key_file(root_key), member_schemas, member_schema_count, &store,
                    &why));
    identity_add(DOOR, IDENTITY_ADN_AE);
    identity_add(MN_CSE, IDENTITY_MN_CSE);
    struct engine_setup setup = {
        .store = store, .clock = &clock_system, .events = {.emit = event_drop, .emit_early = event_drop}};
    MUST(member_engine_open(&setup, &engine, &why));
    arena = arena_new((size_t)4 * 1024 * 1024);
    MUST(signing_key_make(&authority));
    MUST(store_begin(store, &why));
    groups_give();
    association_give(0, DOOR);
    association_give(1, MN_CSE);
    MUST(store_commit(store, &why));
    site_refresh();
}

/* ---- one input ---- */

/* A batch of its own, that is never committed: each input finds the same store. */
static void request_run(Groupseal__Secenv__ToSecenv *request)
{
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    struct engine_caller caller = {SOCKET_OWNER, 1};
    struct reason reason = {""};
    uint64_t next = 0;
    MUST(store_begin(store, &why));
    MUST(store_savepoint(store, &why));
    if (member_operations.request(engine, &caller, request, arena, &reply, &reason) == RESULT_OK) {
        MUST(store_release(store, &why));
    } else {
        store_rollback_to_savepoint(store);
    }
    MUST(member_operations.turn(engine, arena, &next, &why));
    store_rollback(store);
}

static void hear(const char *identity, Groupseal__Secenv__TopicKind kind, bool retained, struct bytes payload)
{
    Groupseal__Secenv__Heard heard = GROUPSEAL__SECENV__HEARD__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    heard.identity = (char *)identity;
    heard.site = (char *)SITE;
    heard.group = (char *)GROUP;
    heard.kind = kind;
    heard.sender =
        (char *)(kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE && strcmp(identity, DOOR) == 0 ? MN_CSE
                                                                                                     : DOOR);
    heard.retained = retained;
    heard.payload = arena_field(payload);
    request.id = 1;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    request.heard = &heard;
    request_run(&request);
}

static void hear_sealed(const char *identity, Groupseal__Envelope__Kind kind, struct bytes plaintext)
{
    static uint64_t counter = UINT64_C(1) << 62;
    bool up = kind == GROUPSEAL__ENVELOPE__KIND__KIND_ACK || kind == GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE;
    struct membership *sender = up ? door : mn;
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    struct seal_context context = {.incarnation = 1,
                                   .site = SITE,
                                   .kind = kind,
                                   .ae = up ? DOOR : "",
                                   .epoch = sender->current.epoch,
                                   .serial = sender->serial,
                                   .counter = ++counter};
    memcpy(context.instance, instance, INSTANCE_SIZE);
    if (seal_message(&context, AEAD_CHACHA20_POLY1305_CIPHER, &sender->current.secret, plaintext, &payload) ==
        RESULT_OK) {
        static const Groupseal__Secenv__TopicKind topics[] = {
            [GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND] = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND,
            [GROUPSEAL__ENVELOPE__KIND__KIND_SYNC] = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND,
            [GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE] = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE,
            [GROUPSEAL__ENVELOPE__KIND__KIND_ACK] = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK,
        };
        hear(identity, topics[kind], false, buffer_bytes(&payload));
    }
    buffer_clear(&payload);
}

static void receive(const char *identity, size_t index, struct bytes packed)
{
    Groupseal__Secenv__Received received = GROUPSEAL__SECENV__RECEIVED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    struct bytes carried;
    struct reason reason;
    Groupseal__Envelope__RecordBody *body =
        groupseal__envelope__record_body__unpack(arena_allocator(arena), packed.length, packed.data);
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    if (body == NULL ||
        association_seal(&authority_side[index], store, &clock_system, body, arena, &object.record,
                         &reason) != RESULT_OK ||
        carriage_pack(&object, arena, &carried) != RESULT_OK) {
        return;
    }
    received.identity = (char *)identity;
    received.from = (char *)IN_CSE;
    received.hop = (char *)MN_CSE;
    received.object = arena_field(carried);
    request.id = 1;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED;
    request.received = &received;
    request_run(&request);
    site_refresh();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (engine == NULL) {
        site_make();
    }
    if (size < 1) {
        return 0;
    }
    /* The first byte: whom, what, and how it comes. */
    size_t index = data[0] & 1u;
    const char *identity = index == 0 ? DOOR : MN_CSE;
    unsigned what = (data[0] >> 1) & 7u;
    struct bytes rest = {data + 1, size - 1};
    switch ((data[0] >> 4) & 3u) {
    case 0:
        hear(identity, (Groupseal__Secenv__TopicKind)what, (data[0] & 0x40u) != 0, rest);
        break;
    case 1:
        hear_sealed(identity, (Groupseal__Envelope__Kind)(1u + what % 4u), rest);
        break;
    default:
        receive(identity, index, rest);
        break;
    }
    arena_reset(arena);
    return 0;
}
