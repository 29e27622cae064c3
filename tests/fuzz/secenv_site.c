/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The secure environments of a whole site, both profiles, driven by a sequence: requests on every socket,
 * made and repeated messages, records and group messages under the right keys, the way that things are lost,
 * doubled and late, time, restarts. The site is real engines (tests/unit/site.h), back at its start for each
 * input. What must be so is in site_rules.h; the harness itself sees to it that no turn fails and that every
 * reply fits a packet. In the end a site whose keys nobody else used works again.
 */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "message.h"
#include "secenv/log.h"
#include "secenv/service/dispatch.h"
#include "site_keys.h"
#include "site_rules.h"
#include "tests/unit/operator.h"

#define MN SITE_MN_CSE
#define DOOR_1 "//sp.example/Sdoor1"
#define DOOR_2 "//sp.example/Sdoor2"
#define DOOR_3 "//sp.example/Sdoor3" /* provisioned; enrolled where the input says so */
#define NODES 5u
#define INPUT_LIMIT 600u
#define STEPS_LIMIT 60u
#define CAPTURES 32u

#define TEXT(constant_) ((char *)(uintptr_t)(constant_))
#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define REQUEST(name_) GROUPSEAL__SECENV__TO_SECENV__REQUEST_##name_

struct captured {
    Groupseal__Secenv__Publish *publish; /* NULL: an object */
    char from[NAME_LIMIT + 1];
    struct buffer payload;
};

static struct site *site;
static struct site_node *nodes[NODES];
static struct rules *rules;
static struct arena *arena;
static struct dice dice;
static struct captured captured[CAPTURES];
static size_t captured_next;
static size_t stormy; /* messages that have a fate of their own */
static bool keys_used;
static uint8_t last_order[COMMAND_ID_SIZE];

/* The same input meets the same keys: each is drawn from this. */
static uint64_t drawn;

int wc_RNG_GenerateBlock(WC_RNG *generator, byte *out, word32 size) __attribute__((visibility("default")));

int wc_RNG_GenerateBlock(WC_RNG *generator, byte *out, word32 size)
{
    (void)generator;
    for (word32 i = 0; i < size; i++) {
        drawn += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t mixed = (drawn ^ (drawn >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        out[i] = (byte)(mixed >> 56);
    }
    return 0;
}

/* ---- the way ---- */

static void capture(const struct site_message *message)
{
    struct captured *kept = &captured[captured_next++ % CAPTURES];
    if (kept->publish != NULL) {
        groupseal__secenv__publish__free_unpacked(kept->publish, NULL);
        kept->publish = NULL;
    }
    buffer_clear(&kept->payload);
    kept->payload = BUFFER_EMPTY(65536);
    (void)snprintf(kept->from, sizeof(kept->from), "%s", message->from);
    ALWAYS(buffer_append(&kept->payload, message->payload) == RESULT_OK);
    if (message->publish != NULL) {
        size_t size = groupseal__secenv__publish__get_packed_size(message->publish);
        uint8_t *packed = malloc(size + 1);
        ALWAYS(packed != NULL);
        (void)groupseal__secenv__publish__pack(message->publish, packed);
        kept->publish = groupseal__secenv__publish__unpack(NULL, size, packed);
        free(packed);
        ALWAYS(kept->publish != NULL);
    }
}

static enum site_fate fate(void *context, const struct site_message *message)
{
    static const enum site_fate fates[] = {SITE_DELIVER, SITE_DELIVER, SITE_DROP,  SITE_LOSE,
                                           SITE_TWICE,   SITE_LATER,   SITE_LATER, SITE_DELIVER};
    (void)context;
    rules_sent(rules, message->publish, message->payload);
    capture(message);
    if (stormy == 0) {
        return SITE_DELIVER;
    }
    stormy--;
    return fates[dice_pick(&dice, sizeof(fates) / sizeof(fates[0]))];
}

/* ---- the start ---- */

static Groupseal__Secenv__Code group_make(const char *name, bool strict)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {TEXT(MN)};
    group.name = TEXT(name);
    group.function = TEXT("door");
    group.sites = sites;
    group.n_sites = 1;
    group.authority_only = !strict;
    group.aead = TEXT(strict ? "aes-256-gcm" : "");
    group.refuse_when_overdue = strict;
    group.sign_member_messages = strict;
    return operator_create(site, &group);
}

static void site_remove(void)
{
    site_free(site);
}

static void site_make(void)
{
    log_threshold(LOG_LEVEL_ALARM);
    ALWAYS(setenv("CMOCKA_TEST_ABORT", "1", 1) == 0);
    site = site_new();
    (void)atexit(site_remove);
    nodes[0] = site_authority(site);
    nodes[1] = site_join(site, MN, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    ALWAYS(group_make("doors", false) == CODE(OK) && group_make("halls", true) == CODE(OK));
    nodes[2] = site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_PSK, MN, "door");
    nodes[3] = site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_CERT, MN, "door");
    nodes[4] = site_provision(site, DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_online(nodes[4], true);
    site_advance(site, 1000);
    site_keep(site);
    rules = rules_new(site);
    arena = arena_new((size_t)16 * 1024 * 1024);
    ALWAYS(arena != NULL);
    site_carry(site, fate, NULL);
}

/* ---- words ---- */

static struct site_node *node_any(void)
{
    return nodes[dice_pick(&dice, NODES)];
}

static struct site_node *member_any(void)
{
    return nodes[1 + dice_pick(&dice, NODES - 1)];
}

static const struct captured *captured_any(void)
{
    size_t count = captured_next < CAPTURES ? captured_next : CAPTURES;
    return count == 0 ? NULL : &captured[(captured_next - 1 - dice_pick(&dice, count)) % CAPTURES];
}

/* Words of this site, as it is now. `out` views what lives as long as the step. */
static void words_take(struct vocabulary *out)
{
    static const char *const texts[] = {"",
                                        MN,
                                        DOOR_1,
                                        DOOR_2,
                                        DOOR_3,
                                        "doors",
                                        "halls",
                                        "mn-1",
                                        "door",
                                        SITE_AUTHORITY,
                                        "aes-256-gcm",
                                        "cellar",
                                        "//sp.example/Snobody",
                                        "\x7f",
                                        "no"};
    static struct bytes octets[6];
    static uint64_t numbers[12];
    static struct member_seal seal;
    static const uint8_t fixed[64] = {1};
    const struct captured *one = captured_any();
    bool member = member_seal(nodes[1], "doors", &seal);
    octets[0] = BYTES_OF(last_order);
    octets[1] = member ? BYTES_OF(seal.context.instance) : (struct bytes){fixed, INSTANCE_SIZE};
    octets[2] = (struct bytes){fixed, SECRET_SIZE};
    octets[3] = (struct bytes){fixed, 8};
    octets[4] = (struct bytes){fixed, SIGNATURE_SIZE};
    octets[5] = one != NULL ? buffer_bytes(&one->payload) : (struct bytes){fixed, 1};
    numbers[0] = 1;
    numbers[1] = 2;
    numbers[2] = member ? seal.context.epoch : 1;
    numbers[3] = numbers[2] + 1;
    numbers[4] = numbers[2] + 5000;
    numbers[5] = member ? seal.context.incarnation : 1;
    numbers[6] = member ? seal.context.serial : 1;
    numbers[7] = numbers[6] + 1;
    numbers[8] = site_now_ms(site);
    numbers[9] = numbers[8] + 60000;
    numbers[10] = UINT64_C(1) << 63;
    numbers[11] = UINT64_MAX;
    *out = (struct vocabulary){texts,   sizeof(texts) / sizeof(texts[0]),
                               octets,  sizeof(octets) / sizeof(octets[0]),
                               numbers, sizeof(numbers) / sizeof(numbers[0])};
}

static void *made(const ProtobufCMessageDescriptor *type)
{
    struct vocabulary words;
    words_take(&words);
    return message_make(type, &words, &dice, arena);
}

/* A copy with a byte changed, cut off or added, or as it was. */
static struct bytes spoiled(struct bytes bytes)
{
    uint8_t *copy = arena_alloc(arena, bytes.length + 1);
    ALWAYS(copy != NULL);
    if (bytes.length != 0) {
        memcpy(copy, bytes.data, bytes.length);
    }
    size_t how = dice_pick(&dice, 8);
    size_t at = bytes.length == 0 ? 0 : (dice_byte(&dice) | (size_t)dice_byte(&dice) << 8) % bytes.length;
    if (how == 1) {
        copy[at] ^= (uint8_t)(1u + dice_byte(&dice));
    } else if (how == 2) {
        bytes.length = at;
    } else if (how == 3) {
        copy[bytes.length++] = dice_byte(&dice);
    }
    return (struct bytes){copy, bytes.length};
}

/* ---- requests ---- */

/* secenv.proto: the numbers say who may ask what. */
static bool table_allows(enum socket_kind socket, bool authority, unsigned number)
{
    if (number < 10) {
        return true;
    }
    if (number < 20) {
        return socket == SOCKET_OWNER;
    }
    return number < 40 ? socket == SOCKET_OWNER && !authority : socket == SOCKET_OPERATOR && authority;
}

static void reply_look(const Groupseal__Secenv__Reply *reply)
{
    if (reply->code == CODE(OK) && reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_ORDER) {
        rules_ordered(rules, reply->order->command_id);
        memcpy(last_order, reply->order->command_id.data, COMMAND_ID_SIZE);
    }
    if (reply->code == CODE(OK) && reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_SPOKEN) {
        Groupseal__Secenv__Publish topic = GROUPSEAL__SECENV__PUBLISH__INIT;
        topic.kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE;
        topic.group = TEXT("");
        rules_sent(rules, &topic, arena_view(reply->spoken->payload));
    }
}

/* One that fails has changed nothing. */
static Groupseal__Secenv__Code ask(struct site_node *node, enum socket_kind socket, uint64_t connection,
                                   Groupseal__Secenv__ToSecenv *request)
{
    struct buffer before = rules_status(node);
    Groupseal__Secenv__Reply *reply = site_request(node, socket, connection, request);
    Groupseal__Secenv__Code code = reply->code;
    reply_look(reply);
    site_reply_free(reply);
    if (code != CODE(OK)) {
        struct buffer after = rules_status(node);
        ALWAYS(bytes_equal(buffer_bytes(&before), buffer_bytes(&after)));
        buffer_clear(&after);
    }
    buffer_clear(&before);
    return code;
}

/* Through parser and table, on any socket of any node, in any state of the connection. */
static void packet_send(struct bytes packet)
{
    Groupseal__Secenv__ToSecenv *request = NULL;
    struct reason why = {""};
    struct site_node *node = node_any();
    struct dispatch_state state = {(enum socket_kind)(1 + dice_pick(&dice, 3)), dice_byte(&dice) % 8 != 1, 0};
    bool authority = node == nodes[0];
    if (dispatch_parse(packet, arena, &request, &why) != RESULT_OK) {
        return;
    }
    bool hello = request->request_case == REQUEST(HELLO);
    bool allowed =
        dispatch_check(&state, authority ? STORE_AUTHORITY : STORE_MEMBER, request, &why) == RESULT_OK;
    ALWAYS(allowed == (request->request_case != 0 && state.greeted != hello &&
                       table_allows(state.socket, authority, (unsigned)request->request_case)));
    if (allowed) {
        uint64_t connection =
            state.socket == SOCKET_OWNER ? 1 + dice_pick(&dice, 2) : SITE_OPERATOR_CONNECTION;
        (void)ask(node, state.socket, connection, request);
    }
}

static void step_packet(void)
{
    const uint8_t *data = NULL;
    size_t length = dice_bytes(&dice, &data);
    packet_send((struct bytes){data, length});
}

static void step_request(void)
{
    Groupseal__Secenv__ToSecenv *request = made(&groupseal__secenv__to_secenv__descriptor);
    request->id = 1;
    size_t size = groupseal__secenv__to_secenv__get_packed_size(request);
    uint8_t *packed = arena_alloc(arena, size + 1);
    ALWAYS(packed != NULL);
    (void)groupseal__secenv__to_secenv__pack(request, packed);
    packet_send((struct bytes){packed, size});
}

static void step_order(void)
{
    static const char *const targets[] = {DOOR_1, DOOR_2, DOOR_3};
    static const uint32_t valid_ms[] = {0, 5000, 600000};
    static unsigned number;
    char body[32];
    size_t target = dice_pick(&dice, 4);
    (void)snprintf(body, sizeof(body), "command %u", number++);
    Groupseal__Secenv__Reply *reply =
        operator_order(site, dice_byte(&dice) % 2 == 0 ? "doors" : "halls", body, &targets[target % 3],
                       target == 3 ? 0 : 1, valid_ms[dice_pick(&dice, 3)]);
    reply_look(reply);
    site_reply_free(reply);
}

static void step_roster(void)
{
    static const char *const names[] = {DOOR_1, DOOR_2, DOOR_3};
    const char *name = names[dice_pick(&dice, 3)];
    struct new_member member;
    enum credentials_mode mode = name[strlen(name) - 1] == '2' ? CREDENTIALS_CERT : CREDENTIALS_PSK;
    Groupseal__Secenv__NewMember *members[] = {&member.member};
    switch (dice_pick(&dice, 6)) {
    case 0:
        new_member_init(&member, name, IDENTITY_ADN_AE, mode, MN, "door");
        (void)operator_add(site, members, 1);
        break;
    case 1:
        (void)operator_reauthenticate(site, name);
        break;
    case 2:
        (void)operator_rotate(site, dice_byte(&dice) % 2 == 0 ? "doors" : "halls");
        break;
    case 3:
        (void)operator_leaf_age(site, dice_byte(&dice) % 2 == 0 ? 3600 : 86400);
        break;
    case 4:
        if (dice_byte(&dice) % 4 == 1) { /* and made again: another one of that name */
            (void)operator_delete(site, "halls");
            site_settle(site);
            (void)group_make("halls", dice_byte(&dice) % 2 == 0);
        }
        break;
    default:
        (void)operator_evict(site, name);
        break;
    }
}

static void step_speak(void)
{
    Groupseal__Secenv__Speak content = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    struct site_node *node = member_any();
    struct site_node *listener = member_any();
    content.identity = TEXT(site_name(node));
    content.group = TEXT(dice_byte(&dice) % 2 == 0 ? "doors" : "halls");
    content.body = arena_field(bytes_of_text("it is hot"));
    request.request_case = REQUEST(SPEAK);
    request.speak = &content;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    reply_look(reply);
    if (reply->code == CODE(OK)) {
        publish.kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE;
        publish.site = reply->spoken->site;
        publish.group = content.group;
        publish.sender = content.identity;
        publish.payload = reply->spoken->payload;
        const struct site_message message = {SITE_PUBLISH, site_name(node), site_name(listener),
                                             arena_view(publish.payload), &publish};
        capture(&message);
        (void)site_hear(listener, &publish, false);
    }
    site_reply_free(reply);
}

static void step_finish(void)
{
    Groupseal__Secenv__Finished content = GROUPSEAL__SECENV__FINISHED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    struct site_node *node = member_any();
    content.identity = TEXT(site_name(node));
    content.group = TEXT(dice_byte(&dice) % 2 == 0 ? "doors" : "halls");
    content.command_id = arena_field(BYTES_OF(last_order));
    content.done = dice_byte(&dice) % 2 == 0;
    content.detail = TEXT("by the book");
    request.request_case = REQUEST(FINISHED);
    request.finished = &content;
    (void)ask(node, SOCKET_OWNER, 1, &request);
}

/* ---- what is on the way ---- */

static void object_give(struct site_node *node, const char *from, const char *hop, struct bytes object)
{
    Groupseal__Secenv__Received content = GROUPSEAL__SECENV__RECEIVED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = TEXT(site_name(node));
    content.from = TEXT(from);
    content.hop = TEXT(hop);
    content.object = arena_field(object);
    request.request_case = REQUEST(RECEIVED);
    request.received = &content;
    (void)ask(node, SOCKET_OWNER, 1, &request);
}

static void step_repeat(void)
{
    const struct captured *one = captured_any();
    struct site_node *node = node_any();
    if (one == NULL) {
        return;
    }
    struct bytes payload = spoiled(buffer_bytes(&one->payload));
    if (one->publish == NULL) {
        object_give(node, dice_byte(&dice) % 4 == 1 ? site_name(member_any()) : one->from, MN, payload);
    } else if (node != nodes[0]) {
        Groupseal__Secenv__Publish publish = *one->publish;
        publish.payload = arena_field(payload);
        if (dice_byte(&dice) % 4 == 1) {
            publish.kind = (Groupseal__Secenv__TopicKind)dice_pick(&dice, 8);
            publish.group = TEXT(dice_byte(&dice) % 2 == 0 ? "doors" : "halls");
            publish.sender = TEXT(site_name(member_any()));
        }
        (void)site_hear(node, &publish, dice_byte(&dice) % 4 == 1);
    }
}

static void step_object(void)
{
    Groupseal__Envelope__EndToEnd *object = made(&groupseal__envelope__end_to_end__descriptor);
    struct bytes packed;
    if (carriage_pack(object, arena, &packed) == RESULT_OK) {
        struct site_node *node = node_any();
        object_give(node, node == nodes[0] ? site_name(member_any()) : SITE_AUTHORITY, MN, packed);
    }
}

static void step_storm(void)
{
    stormy = 1 + dice_pick(&dice, 16);
}

/* ---- under the right keys ---- */

static void step_record_up(void)
{
    Groupseal__Envelope__RecordBody *body = made(&groupseal__envelope__record_body__descriptor);
    struct site_node *node = member_any();
    struct bytes object;
    if (member_record(site, node, body, arena, &object)) {
        keys_used = true;
        object_give(nodes[0], site_name(node), MN, object);
    }
}

static void step_record_down(void)
{
    Groupseal__Envelope__RecordBody *body = made(&groupseal__envelope__record_body__descriptor);
    struct site_node *node = member_any();
    struct bytes object;
    if (authority_record(site, site_name(node), body, arena, &object)) {
        keys_used = true;
        rules_authority_lies(rules);
        object_give(node, SITE_AUTHORITY, MN, object);
    }
}

static void publish_give(Groupseal__Secenv__TopicKind kind, const char *sender, struct bytes payload)
{
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.kind = kind;
    publish.site = TEXT("mn-1");
    publish.group = TEXT("doors");
    publish.sender = TEXT(sender);
    publish.payload = arena_field(payload);
    (void)site_hear(member_any(), &publish, dice_byte(&dice) % 8 == 1);
}

static void step_sealed(void)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &groupseal__envelope__command__descriptor, &groupseal__envelope__sync_reply__descriptor,
        &groupseal__envelope__member_message__descriptor, &groupseal__envelope__ack__descriptor};
    static const Groupseal__Secenv__TopicKind topics[] = {
        GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND,
        GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE, GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK};
    static const uint64_t counters[] = {0, 1000000, 3600000000, UINT64_MAX / 2};
    struct member_seal seal;
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    struct site_node *node = member_any();
    size_t kind = dice_pick(&dice, 4);
    const ProtobufCMessage *message = made(types[kind]);
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *plaintext = arena_alloc(arena, size + 1);
    if (plaintext == NULL || !member_seal(node, "doors", &seal)) {
        return;
    }
    (void)protobuf_c_message_pack(message, plaintext);
    seal.context.kind = (Groupseal__Envelope__Kind)(kind + 1);
    seal.context.ae = kind < 2 ? "" : seal.context.ae;
    seal.context.counter = clock_wall_us(site_clock(site)) + counters[dice_pick(&dice, 4)];
    if (seal_message(&seal.context, seal.aead, &seal.epoch_key, (struct bytes){plaintext, size}, &payload) ==
        RESULT_OK) {
        keys_used = true;
        publish_give(topics[kind], site_name(node), buffer_bytes(&payload));
    }
    buffer_clear(&payload);
}

/* What the authority would never sign, signed by it. */
static void step_signed(void)
{
    uint8_t signature[SIGNATURE_SIZE];
    const struct signing_key *key = authority_signing_key(site);
    const ProtobufCMessage *message = NULL;
    Groupseal__Secenv__TopicKind topic = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH;
    enum result result = RESULT_INVALID;
    if (dice_byte(&dice) % 2 == 0) {
        Groupseal__Envelope__Announcement *announcement =
            made(&groupseal__envelope__announcement__descriptor);
        result = announcement_sign(announcement, key, signature);
        message = &announcement->base;
    } else {
        Groupseal__Envelope__Policy *policy = made(&groupseal__envelope__policy__descriptor);
        result = policy_sign(policy, key, signature);
        message = &policy->base;
        topic = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(arena, size + 1);
    if (result == RESULT_OK && packed != NULL) {
        keys_used = true;
        rules_authority_lies(rules);
        (void)protobuf_c_message_pack(message, packed);
        publish_give(topic, "", (struct bytes){packed, size});
    }
}

/* ---- time and power ---- */

static void step_time(void)
{
    static const uint64_t steps_ms[] = {1, 200, 2100, 10500, 31000, 61000, 301000, 901000, 3 * 901000};
    site_advance(site, steps_ms[dice_pick(&dice, sizeof(steps_ms) / sizeof(steps_ms[0]))]);
}

static void step_restart(void)
{
    rules_restart(rules, node_any());
}

static void step_online(void)
{
    struct site_node *node = node_any();
    site_online(node, dice_byte(&dice) % 2 == 0);
}

static void step_disconnect(void)
{
    struct site_node *node = node_any();
    size_t which = dice_pick(&dice, 3);
    site_disconnect(node, which == 2 ? SOCKET_OPERATOR : SOCKET_OWNER,
                    which == 2 ? SITE_OPERATOR_CONNECTION : 1 + which);
}

/* ---- one input ---- */

static void events_look(void)
{
    for (size_t i = 0; i < NODES; i++) {
        rules_events(rules, nodes[i]);
    }
}

static void steps_run(void)
{
    static void (*const steps[])(void) = {
        step_time,      step_order,       step_roster, step_repeat, step_storm,      step_restart,
        step_online,    step_speak,       step_finish, step_packet, step_request,    step_object,
        step_record_up, step_record_down, step_sealed, step_signed, step_disconnect,
    };
    for (size_t i = 0; i < STEPS_LIMIT && dice.left != 0; i++) {
        uint8_t step = dice_byte(&dice);
        steps[(step & 0x7f) % (sizeof(steps) / sizeof(steps[0]))]();
        if (step < 0x80) {
            site_settle(site);
        }
        events_look();
        arena_reset(arena);
    }
}

static bool in_roster(const char *name)
{
    bool found = false;
    Groupseal__Secenv__Reply *reply = operator_show(site, "doors");
    ALWAYS(reply->code == CODE(OK) || reply->code == CODE(UNKNOWN)); /* it may have been deleted */
    for (size_t i = 0; reply->code == CODE(OK) && i < reply->group->n_members; i++) {
        found = found || strcmp(reply->group->members[i]->name, name) == 0;
    }
    site_reply_free(reply);
    return found;
}

static void last_order_look(void)
{
    Groupseal__Secenv__Reply *reply = operator_order(site, "doors", "at last", NULL, 0, 60000);
    ALWAYS(reply->code == CODE(OK));
    reply_look(reply);
    site_advance(site, 10000);
    events_look();
    for (size_t i = 2; i < NODES; i++) {
        ALWAYS(!in_roster(site_name(nodes[i])) || rules_given(rules, nodes[i], reply->order->command_id));
    }
    site_reply_free(reply);
}

/* All is well on the way from now on: everybody who is a member does what is ordered. */
static void recovery_look(void)
{
    site_carry(site, NULL, NULL);
    for (size_t i = 0; i < NODES; i++) {
        site_online(nodes[i], false);
        site_online(nodes[i], true);
    }
    site_advance(site, 700000);
    bool doors = false;
    for (size_t i = 2; i < NODES; i++) {
        doors = doors || in_roster(site_name(nodes[i]));
    }
    if (doors && in_roster(MN)) {
        last_order_look();
    }
    site_carry(site, fate, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (site == NULL) {
        site_make();
    }
    if (size > INPUT_LIMIT) {
        return 0;
    }
    drawn = 0;
    dice = (struct dice){NULL, 0};
    stormy = 0;
    site_return(site);
    rules_forget(rules);
    captured_next = 0;
    keys_used = false;
    memset(last_order, 0, sizeof(last_order));
    dice = (struct dice){data, size};
    steps_run();
    stormy = 0;
    site_settle(site);
    events_look();
    for (size_t i = 0; i < NODES; i++) {
        rules_restart(rules, nodes[i]);
    }
    if (!keys_used) {
        recovery_look();
    }
    return 0;
}
