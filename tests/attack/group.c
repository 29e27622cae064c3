/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/packed.h"
#include "tests/attack/attack.h"
#include "tests/unit/operator.h"

/*
 * Inside the group: a member, or one that was, with all its keys. It can seal whatever it likes; what it
 * lacks is the signature of the relay, of the commander, and of every other device. The second door is the
 * attacker, the first the victim; the broker gives everything to everybody, as a friend of the attacker
 * would.
 */

#define DOOR_3 "//sp.example/Sdoor3"
#define MN_2 "//sp.example/mn-2"
#define SIGNED_GROUP "sensors"
#define HIGH (UINT64_C(1) << 63)

struct scene {
    struct play *play;
    struct arena *arena;
    struct insider insider;
    uint8_t id[COMMAND_ID_SIZE];
    Groupseal__Secenv__Publish *recorded; /* a command that the attacker heard and the victim did not */
};

static struct scene *scene_new(void)
{
    static struct scene scene;
    scene = (struct scene){.play = play_new(2), .arena = arena_new((size_t)4 * 1024 * 1024)};
    assert_non_null(scene.arena);
    site_advance(scene.play->site, 31000);
    insider_take(scene.play, scene.play->door2, PLAY_GROUP, &scene.insider);
    scene.play->dropped_to = PLAY_DOOR;
    scene.play->dropped_kind = TOPIC(COMMAND);
    play_order(scene.play, "close", PLAY_DOOR, 3600000, scene.id);
    scene.recorded = publish_keep(play_last(scene.play, TOPIC(COMMAND)));
    assert_int_equal(given(scene.play->door), 0);
    return &scene;
}

static void scene_free(struct scene *scene)
{
    publish_drop(scene->recorded);
    arena_free(scene->arena);
    play_free(scene->play);
}

/* The recorded command, unaltered, is executed: the victim was not deaf. */
static void recorded_is_executed(struct scene *scene)
{
    size_t had = given(scene->play->door);
    twin_is_taken(scene->play->door, scene->recorded, false);
    assert_int_equal(given(scene->play->door), had + 1);
}

/* Sealed by the insider under this header and given to the victim on a topic of the group. */
static void sealed_is_refused(struct site_node *victim, const struct insider *insider,
                              const struct seal_context *context, struct bytes plaintext,
                              Groupseal__Secenv__TopicKind topic, enum audit_counter counter,
                              const char *words)
{
    struct buffer payload = insider_seal(insider, context, plaintext);
    Groupseal__Secenv__Publish publish = publish_of(topic, context->ae, buffer_bytes(&payload));
    attack_is_refused(victim, &publish, false, counter, words);
    buffer_clear(&payload);
}

/* ---- a recorded command, sealed again ---- */

static void recorded_command_sealed_again(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct site_node *door = scene->play->door;
    struct seal_context genuine;
    struct bytes plaintext;
    insider_open(&scene->insider, scene->recorded, scene->arena, &genuine, &plaintext);
    static const char not_relays[] = "is not its relay's";
    static const uint64_t counters[] = {1, HIGH - 1, HIGH, UINT64_MAX};
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        struct seal_context context = genuine;
        context.counter = counters[i];
        sealed_is_refused(door, &scene->insider, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                          not_relays);
    }
    struct seal_context context = genuine;
    context.boot[0] ^= 1u;
    sealed_is_refused(door, &scene->insider, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                      not_relays);
    context = genuine;
    context.serial = scene->insider.context.serial;
    sealed_is_refused(door, &scene->insider, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                      "is no relay of");
    context = genuine;
    context.epoch--;
    sealed_is_refused(door, &scene->insider, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_DROPPED,
                      "that epoch is over");
    /* The twin: the very same header again is the very message of the relay. */
    struct buffer payload = insider_seal(&scene->insider, &genuine, plaintext);
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    twin_is_taken(door, &publish, false);
    assert_int_equal(given(door), 1);
    buffer_clear(&payload);
    scene_free(scene);
}

/* Carried over into the epoch that came after it. */
static void recorded_command_in_the_next_epoch(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct seal_context genuine;
    struct bytes plaintext;
    insider_open(&scene->insider, scene->recorded, scene->arena, &genuine, &plaintext);
    (void)site_join(scene->play->site, DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(scene->play->site, 1000);
    struct insider later;
    insider_take(scene->play, scene->play->door2, PLAY_GROUP, &later);
    assert_int_equal(later.context.epoch, genuine.epoch + 1);
    struct seal_context context = genuine;
    context.epoch = later.context.epoch;
    sealed_is_refused(scene->play->door, &later, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                      "is not its relay's");
    context.counter = HIGH;
    sealed_is_refused(scene->play->door, &later, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                      "is not its relay's");
    /* The twin: the relay itself has sealed it again for this epoch. */
    publish_drop(scene->recorded);
    scene->recorded = publish_keep(play_last(scene->play, TOPIC(COMMAND)));
    recorded_is_executed(scene);
    scene_free(scene);
}

/* One that left keeps what it had: the old epoch's key, its own key, what it recorded. */
static void command_of_one_that_left(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct site_node *door = scene->play->door;
    struct seal_context genuine;
    struct bytes plaintext;
    insider_open(&scene->insider, scene->recorded, scene->arena, &genuine, &plaintext);
    uint64_t epoch = genuine.epoch;
    assert_int_equal(operator_evict(scene->play->site, PLAY_DOOR_2), CODE(OK));
    site_advance(scene->play->site, 1000);
    assert_int_equal(play_membership(door, PLAY_GROUP)->current.epoch, epoch + 1);

    struct seal_context context = genuine;
    context.counter++;
    sealed_is_refused(door, &scene->insider, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                      "is not its relay's");
    context.epoch = epoch + 1;
    sealed_is_refused(door, &scene->insider, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                      "cannot be opened with the group's key");
    /* What it says itself, in the epoch that it knew and in the one that it does not. */
    Groupseal__Envelope__MemberMessage message = GROUPSEAL__ENVELOPE__MEMBER_MESSAGE__INIT;
    struct buffer said = BUFFER_EMPTY(OBJECT_LIMIT);
    message.body = arena_field(bytes_of_text("all is well"));
    assert_int_equal(message_pack(&message.base, &said), RESULT_OK);
    context = scene->insider.context;
    sealed_is_refused(door, &scene->insider, &context, buffer_bytes(&said), TOPIC(MESSAGE),
                      AUDIT_MESSAGES_REFUSED, "that epoch is over");
    context.epoch = epoch + 1;
    sealed_is_refused(door, &scene->insider, &context, buffer_bytes(&said), TOPIC(MESSAGE),
                      AUDIT_MESSAGES_REFUSED, "cannot be opened with the group's key");
    buffer_clear(&said);
    /* The twin: the relay's own message of the old epoch, within the overlap. */
    recorded_is_executed(scene);
    scene_free(scene);
}

/* ---- an order, altered by one that can open and seal it ---- */

static void altered_is_refused(struct scene *scene, const struct seal_context *context,
                               const Groupseal__Envelope__Command *command)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    assert_int_equal(message_pack(&command->base, &packed), RESULT_OK);
    sealed_is_refused(scene->play->door, &scene->insider, context, buffer_bytes(&packed), TOPIC(COMMAND),
                      AUDIT_COMMANDS_REFUSED, "is not its relay's");
    buffer_clear(&packed);
}

static void order_altered_on_the_way(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct seal_context context;
    struct bytes plaintext;
    insider_open(&scene->insider, scene->recorded, scene->arena, &context, &plaintext);
    Groupseal__Envelope__Command *command =
        groupseal__envelope__command__unpack(NULL, plaintext.length, plaintext.data);
    assert_non_null(command);
    command->body.data[0] ^= 1u;
    altered_is_refused(scene, &context, command);
    command->body.data[0] ^= 1u;
    command->order->expires_ms += 60000;
    altered_is_refused(scene, &context, command);
    command->order->expires_ms -= 60000;
    command->order->command_id.data[0] ^= 1u;
    altered_is_refused(scene, &context, command);
    command->order->command_id.data[0] ^= 1u;
    assert_int_equal(command->order->n_targets, 1);
    command->order->n_targets = 0; /* to everybody */
    altered_is_refused(scene, &context, command);
    command->order->n_targets = 1;
    char *target = command->order->targets[0];
    command->order->targets[0] = (char *)(uintptr_t)PLAY_DOOR_2;
    altered_is_refused(scene, &context, command);
    command->order->targets[0] = target;
    command->seal_expires_ms += 60000;
    altered_is_refused(scene, &context, command);
    command->seal_expires_ms -= 60000;
    /* Signed anew by the insider, whose key is not the relay's. */
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    ProtobufCBinaryData genuine = command->seal_signature;
    assert_int_equal(
        order_hash(command->order, context.instance, context.incarnation, arena_view(command->body), hash),
        RESULT_OK);
    assert_int_equal(seal_sign(&context, command->seal_expires_ms, hash, &scene->insider.signing, signature),
                     RESULT_OK);
    command->seal_signature = arena_field(BYTES_OF(signature));
    altered_is_refused(scene, &context, command);
    command->seal_signature = genuine;
    groupseal__envelope__command__free_unpacked(command, NULL);
    recorded_is_executed(scene);
    scene_free(scene);
}

/* ---- as another serial, with any counter ---- */

static void signed_group_add(struct play *play)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[1] = {(char *)(uintptr_t)SITE_MN_CSE};
    group.name = (char *)(uintptr_t)SIGNED_GROUP;
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 1;
    group.authority_only = true;
    group.sign_member_messages = true;
    assert_int_equal(operator_create(play->site, &group), CODE(OK));
    site_advance(play->site, 1000);
}

/* A statement to the MN-CSE, in the name of `ae` with `serial`; words NULL: the twin, taken. */
static void stated(struct play *play, const struct insider *insider, const char *group,
                   Groupseal__Envelope__Kind kind, const char *ae, uint64_t serial, uint64_t counter,
                   const uint8_t *receipt_id, const char *words)
{
    struct seal_context context = insider->context;
    context.kind = kind;
    context.ae = ae;
    context.serial = serial;
    context.counter = counter;
    struct buffer packed = insider_statement(insider, &context, receipt_id);
    struct buffer payload = insider_seal(insider, &context, buffer_bytes(&packed));
    Groupseal__Secenv__Publish publish =
        publish_of(kind == KIND(ACK) ? TOPIC(ACK) : TOPIC(MESSAGE), ae, buffer_bytes(&payload));
    publish.group = (char *)(uintptr_t)group;
    if (words == NULL) {
        twin_is_taken(play->mn, &publish, false);
    } else {
        attack_is_refused(play->mn, &publish, false,
                          kind == KIND(ACK) ? AUDIT_RECEIPTS_REFUSED : AUDIT_MESSAGES_REFUSED, words);
    }
    buffer_clear(&packed);
    buffer_clear(&payload);
}

/* On cmd: recorded_command_sealed_again. On ack and on what a rule acts on: here. */
static void sealed_as_another_device(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct play *play = scene->play;
    signed_group_add(play);
    static const Groupseal__Envelope__Kind kinds[] = {KIND(ACK), KIND(MESSAGE)};
    for (size_t i = 0; i < 2; i++) {
        struct insider insider;
        insider_take(play, play->door2, SIGNED_GROUP, &insider);
        uint64_t own = insider.context.serial;
        uint64_t victims = play_membership(play->door, SIGNED_GROUP)->serial;
        uint64_t counter = insider.context.counter + 100 * (uint64_t)i;
        static const char no_member[] = "not a member of this serial";
        stated(play, &insider, SIGNED_GROUP, kinds[i], PLAY_DOOR, victims, counter, NULL, "signature");
        stated(play, &insider, SIGNED_GROUP, kinds[i], PLAY_DOOR, victims, HIGH, NULL, "signature");
        stated(play, &insider, SIGNED_GROUP, kinds[i], PLAY_DOOR, own, counter, NULL, no_member);
        stated(play, &insider, SIGNED_GROUP, kinds[i], PLAY_DOOR, own + 1000, counter, NULL, no_member);
        stated(play, &insider, SIGNED_GROUP, kinds[i], PLAY_DOOR_2, victims, counter, NULL, no_member);
        stated(play, &insider, SIGNED_GROUP, kinds[i], "//sp.example/Snobody", own, counter, NULL, no_member);
        stated(play, &insider, SIGNED_GROUP, kinds[i], PLAY_DOOR_2, own, counter, NULL, NULL);
    }
    scene_free(scene);
}

static Groupseal__Secenv__Publish *speak(struct site_node *node, const char *group, const char *body)
{
    Groupseal__Secenv__Speak content = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = (char *)(uintptr_t)site_name(node);
    content.group = (char *)(uintptr_t)group;
    content.body = arena_field(bytes_of_text(body));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &content;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    assert_int_equal(reply->code, CODE(OK));
    Groupseal__Secenv__Publish publish =
        publish_of(TOPIC(MESSAGE), site_name(node), arena_view(reply->spoken->payload));
    publish.group = (char *)(uintptr_t)group;
    Groupseal__Secenv__Publish *out = publish_keep(&publish);
    site_reply_free(reply);
    return out;
}

/* The highest counters there are, as the commander's relay, as a member and as a device to the MN-CSE: each
 * true speaker is heard after it. */
static void high_counters_mute_nobody(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct play *play = scene->play;
    struct seal_context genuine;
    struct bytes plaintext;
    insider_open(&scene->insider, scene->recorded, scene->arena, &genuine, &plaintext);
    static const uint64_t counters[] = {HIGH, UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct seal_context context = genuine;
        context.counter = counters[i];
        sealed_is_refused(play->door, &scene->insider, &context, plaintext, TOPIC(COMMAND),
                          AUDIT_COMMANDS_REFUSED, "is not its relay's");
        context = scene->insider.context;
        context.counter = counters[i];
        context.ae = DOOR_3;
        sealed_is_refused(play->door, &scene->insider, &context, bytes_of_text(""), TOPIC(MESSAGE),
                          AUDIT_MESSAGES_REFUSED, "over an hour ahead");
        uint64_t victims = play_membership(play->door, PLAY_GROUP)->serial;
        stated(play, &scene->insider, PLAY_GROUP, KIND(ACK), PLAY_DOOR, victims, counters[i], NULL,
               "signature");
    }
    /* The twins: DOOR_3 is heard by the victim, the victim by the MN-CSE, the relay by the victim. */
    struct seal_context context = scene->insider.context;
    context.ae = DOOR_3;
    struct buffer payload = insider_seal(&scene->insider, &context, bytes_of_text(""));
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(MESSAGE), DOOR_3, buffer_bytes(&payload));
    twin_is_taken(play->door, &publish, false);
    assert_int_equal(given(play->door), 1);
    buffer_clear(&payload);
    recorded_is_executed(scene);
    play->dropped_to = NULL;
    assert_int_equal(play_finish(play->door, scene->id, true, ""), CODE(OK));
    site_advance(play->site, 1000);
    assert_int_equal(play_outcome(play, scene->id, PLAY_DOOR, NULL), GROUPSEAL__SECENV__OUTCOME__DONE);
    scene_free(scene);
}

/* ---- receipts for another device ---- */

static void receipt_forged_for_another(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct play *play = scene->play;
    /* A receipt of the victim's own, of a command before. */
    uint8_t earlier[COMMAND_ID_SIZE];
    play->dropped_to = NULL;
    play_order(play, "open", PLAY_DOOR, 60000, earlier);
    assert_int_equal(play_finish(play->door, earlier, true, ""), CODE(OK));
    site_advance(play->site, 1000);
    Groupseal__Secenv__Publish *own = publish_keep(play_last_of(play, TOPIC(ACK), PLAY_DOOR));
    play->dropped_to = PLAY_DOOR;
    play_order(play, "close", PLAY_DOOR, 60000, scene->id);
    publish_drop(scene->recorded);
    scene->recorded = publish_keep(play_last(play, TOPIC(COMMAND)));
    uint64_t serial = scene->insider.context.serial;
    uint64_t victims = play_membership(play->door, PLAY_GROUP)->serial;
    uint64_t counter = scene->insider.context.counter + 5000000u;
    attack_is_refused(play->mn, own, false, AUDIT_RECEIPTS_REFUSED, "is repeated");
    Groupseal__Secenv__Publish renamed = *own;
    renamed.sender = (char *)(uintptr_t)PLAY_DOOR_2;
    attack_is_refused(play->mn, &renamed, false, AUDIT_RECEIPTS_REFUSED, "not a member of this serial");
    stated(play, &scene->insider, PLAY_GROUP, KIND(ACK), PLAY_DOOR, victims, counter, scene->id, "signature");
    stated(play, &scene->insider, PLAY_GROUP, KIND(ACK), PLAY_DOOR, serial, counter, scene->id,
           "not a member of this serial");
    /* The victim's true receipt, opened, with its header moved on. */
    struct seal_context context;
    struct bytes plaintext;
    insider_open(&scene->insider, own, scene->arena, &context, &plaintext);
    context.counter += 1000000u;
    sealed_is_refused(play->mn, &scene->insider, &context, plaintext, TOPIC(ACK), AUDIT_RECEIPTS_REFUSED,
                      "signature");
    site_advance(play->site, 2000);
    assert_int_equal(play_outcome(play, scene->id, PLAY_DOOR, NULL), GROUPSEAL__SECENV__OUTCOME__NO_ANSWER);
    /* The twin: the victim's own receipt for this very command. */
    recorded_is_executed(scene);
    assert_int_equal(play_finish(play->door, scene->id, true, ""), CODE(OK));
    site_advance(play->site, 3000);
    assert_int_equal(play_outcome(play, scene->id, PLAY_DOOR, NULL), GROUPSEAL__SECENV__OUTCOME__DONE);
    publish_drop(own);
    scene_free(scene);
}

/* ---- kinds ---- */

static void kinds_swapped(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct play *play = scene->play;
    signed_group_add(play);
    Groupseal__Secenv__Publish *message = speak(play->door2, PLAY_GROUP, "85 C");
    site_restart(play->door2);
    site_advance(play->site, 1000);
    Groupseal__Secenv__Publish *ack = publish_keep(play_last_of(play, TOPIC(ACK), PLAY_DOOR_2));
    /* As they are, on each topic that is not theirs. */
    const struct {
        Groupseal__Secenv__Publish *publish;
        Groupseal__Secenv__TopicKind topic;
        struct site_node *victim;
        enum audit_counter counter;
    } moved[] = {
        {scene->recorded, TOPIC(MESSAGE), play->door, AUDIT_MESSAGES_REFUSED},
        {scene->recorded, TOPIC(MESSAGE), play->mn, AUDIT_MESSAGES_REFUSED},
        {scene->recorded, TOPIC(ACK), play->mn, AUDIT_RECEIPTS_REFUSED},
        {message, TOPIC(COMMAND), play->door, AUDIT_COMMANDS_REFUSED},
        {message, TOPIC(ACK), play->mn, AUDIT_RECEIPTS_REFUSED},
        {ack, TOPIC(COMMAND), play->door, AUDIT_COMMANDS_REFUSED},
        {ack, TOPIC(MESSAGE), play->door, AUDIT_MESSAGES_REFUSED},
        {ack, TOPIC(MESSAGE), play->mn, AUDIT_MESSAGES_REFUSED},
    };
    for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
        Groupseal__Secenv__Publish elsewhere = *moved[i].publish;
        elsewhere.kind = moved[i].topic;
        elsewhere.sender = (char *)(uintptr_t)(moved[i].topic == TOPIC(COMMAND) ? "" : PLAY_DOOR_2);
        attack_is_refused(moved[i].victim, &elsewhere, false, moved[i].counter, "of another kind");
    }
    /* Sealed anew as the kind of the topic: signatures are over the kind. */
    struct seal_context context;
    struct bytes plaintext;
    uint64_t relays = play_membership(play->mn, PLAY_GROUP)->serial;
    insider_open(&scene->insider, ack, scene->arena, &context, &plaintext);
    context.kind = KIND(SYNC);
    context.ae = "";
    context.serial = relays;
    struct buffer payload = insider_seal(&scene->insider, &context, plaintext);
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    attack_is_refused(play->door, &publish, false, AUDIT_SYNCS_REFUSED, "a sync reply on doors");
    buffer_clear(&payload);
    insider_open(&scene->insider, scene->recorded, scene->arena, &context, &plaintext);
    context.kind = KIND(SYNC);
    payload = insider_seal(&scene->insider, &context, plaintext);
    publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    attack_is_refused(play->door, &publish, false, AUDIT_SYNCS_REFUSED, "sync reply on doors");
    buffer_clear(&payload);
    /* A true, signed sync request as a signed message for the MN-CSE's rules. */
    struct insider of_signed;
    insider_take(play, play->door2, SIGNED_GROUP, &of_signed);
    Groupseal__Envelope__MemberMessage said = GROUPSEAL__ENVELOPE__MEMBER_MESSAGE__INIT;
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    context = of_signed.context;
    context.kind = KIND(ACK);
    assert_int_equal(hash_bytes(bytes_of_text("fire"), hash), RESULT_OK);
    assert_int_equal(said_sign(&context, hash, &of_signed.signing, signature), RESULT_OK);
    said.body = arena_field(bytes_of_text("fire"));
    said.signature = arena_field(BYTES_OF(signature));
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    assert_int_equal(message_pack(&said.base, &packed), RESULT_OK);
    context.kind = KIND(MESSAGE);
    payload = insider_seal(&of_signed, &context, buffer_bytes(&packed));
    publish = publish_of(TOPIC(MESSAGE), PLAY_DOOR_2, buffer_bytes(&payload));
    publish.group = (char *)(uintptr_t)SIGNED_GROUP;
    attack_is_refused(play->mn, &publish, false, AUDIT_MESSAGES_REFUSED, "signature");
    buffer_clear(&payload);
    buffer_clear(&packed);
    /* The twins: each on its own topic, and the message signed as what it is. */
    stated(play, &of_signed, SIGNED_GROUP, KIND(MESSAGE), PLAY_DOOR_2, of_signed.context.serial,
           of_signed.context.counter, NULL, NULL);
    twin_is_taken(play->door, message, false);
    recorded_is_executed(scene);
    publish_drop(message);
    publish_drop(ack);
    scene_free(scene);
}

/* ---- another group, site, instance ---- */

static void another_group(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct play *play = scene->play;
    signed_group_add(play);
    struct insider other;
    struct seal_context context;
    struct bytes plaintext;
    insider_take(play, play->door2, SIGNED_GROUP, &other);
    insider_open(&scene->insider, scene->recorded, scene->arena, &context, &plaintext);
    /* As it is: whatever its epoch means there, nothing comes of it, then or later. */
    Groupseal__Secenv__Publish moved = *scene->recorded;
    moved.group = (char *)(uintptr_t)SIGNED_GROUP;
    attack_changes_nothing(play->door, &moved, false);
    site_advance(play->site, 60000);
    assert_int_equal(given(play->door), 0);
    /* Sealed anew with that group's key, as its relay. */
    memcpy(context.instance, other.context.instance, INSTANCE_SIZE);
    context.incarnation = other.context.incarnation;
    context.epoch = other.context.epoch;
    context.serial = play_membership(play->mn, SIGNED_GROUP)->serial;
    struct buffer payload = insider_seal(&other, &context, plaintext);
    moved = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    moved.group = (char *)(uintptr_t)SIGNED_GROUP;
    attack_is_refused(play->door, &moved, false, AUDIT_COMMANDS_REFUSED, "is not its relay's");
    buffer_clear(&payload);
    /* And that group's news on this one's topics. */
    static const Groupseal__Secenv__TopicKind news[] = {TOPIC(EPOCH), TOPIC(POLICY)};
    static const enum audit_counter refused[] = {AUDIT_ANNOUNCEMENTS_REFUSED, AUDIT_POLICIES_REFUSED};
    for (size_t i = 0; i < 2; i++) {
        struct bytes retained = site_retained(play->site, PLAY_SITE, SIGNED_GROUP, news[i]);
        assert_true(retained.length > 0);
        moved = publish_of(news[i], "", retained);
        attack_is_refused(play->door, &moved, true, refused[i], "another group or instance");
        moved.group = (char *)(uintptr_t)SIGNED_GROUP;
        twin_is_taken(play->door, &moved, true);
    }
    recorded_is_executed(scene);
    scene_free(scene);
}

/* One group over two sites has one key: what one relay sealed is not the other's to say. */
static void another_site(void **state)
{
    (void)state;
    struct play play = {.site = site_new()};
    struct arena *arena = arena_new((size_t)4 * 1024 * 1024);
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE, (char *)(uintptr_t)MN_2};
    play.mn = site_join(play.site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    struct site_node *mn_2 = site_join(play.site, MN_2, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    group.name = (char *)(uintptr_t)PLAY_GROUP;
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 2;
    group.authority_only = true;
    assert_int_equal(operator_create(play.site, &group), CODE(OK));
    play.door = site_join(play.site, PLAY_DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    play.door2 = site_join(play.site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, MN_2, "door");
    site_advance(play.site, 3000);
    struct insider insider;
    insider_take(&play, play.door2, PLAY_GROUP, &insider);
    uint8_t id[COMMAND_ID_SIZE];
    /* An order for site mn-1's door, as mn-1 sealed it. */
    site_online(play.door, false);
    play_order(&play, "close", PLAY_DOOR, 600000, id);
    struct forgery forgery;
    play_forgery(&play, id, arena, &forgery);
    struct buffer payload = play_forge(&forgery);
    site_online(play.door, true);
    Groupseal__Secenv__Publish recorded = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    Groupseal__Secenv__Publish moved = recorded;
    moved.site = (char *)(uintptr_t) "mn-2";
    attack_is_refused(play.door2, &moved, false, AUDIT_COMMANDS_REFUSED, "is no relay of");
    struct seal_context context;
    struct bytes plaintext;
    insider_open(&insider, &recorded, arena, &context, &plaintext);
    context.site = "mn-2";
    context.serial = play_membership(mn_2, PLAY_GROUP)->serial;
    struct buffer again = insider_seal(&insider, &context, plaintext);
    moved.payload = arena_field(buffer_bytes(&again));
    attack_is_refused(play.door2, &moved, false, AUDIT_COMMANDS_REFUSED, "is not its relay's");
    /* The victim's topic of another site than its own. */
    moved = recorded;
    moved.site = (char *)(uintptr_t) "mn-2";
    attack_is_refused(play.door, &moved, false, AUDIT_TOPICS_REFUSED, "does not relay");
    /* The twin: at its own site. */
    site_advance(play.site, 3000);
    assert_int_equal(given(play.door), 1);
    buffer_clear(&again);
    buffer_clear(&payload);
    arena_free(arena);
    site_free(play.site);
}

/* Two authorities made a group of the same name: everything of the one, heard in the other. */
static void another_instance(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    struct play *play = scene->play;
    static const Groupseal__Secenv__TopicKind news[] = {TOPIC(EPOCH), TOPIC(POLICY)};
    Groupseal__Secenv__Publish *of_first[2];
    struct seal_context recorded;
    struct bytes plaintext;
    insider_open(&scene->insider, scene->recorded, scene->arena, &recorded, &plaintext);
    for (size_t i = 0; i < 2; i++) {
        Groupseal__Secenv__Publish view =
            publish_of(news[i], "", site_retained(play->site, PLAY_SITE, PLAY_GROUP, news[i]));
        of_first[i] = publish_keep(&view);
    }
    play_free(play);
    play = scene->play = play_new(2);
    struct insider insider;
    insider_take(play, play->door2, PLAY_GROUP, &insider);
    assert_memory_not_equal(insider.context.instance, recorded.instance, INSTANCE_SIZE);
    attack_is_refused(play->door, of_first[0], true, AUDIT_ANNOUNCEMENTS_REFUSED,
                      "another group or instance");
    attack_is_refused(play->door, of_first[1], true, AUDIT_POLICIES_REFUSED, "another group or instance");
    attack_changes_nothing(play->door, scene->recorded, false);
    struct seal_context context = recorded;
    context.site = PLAY_SITE;
    context.ae = "";
    memcpy(context.instance, insider.context.instance, INSTANCE_SIZE);
    context.incarnation = insider.context.incarnation;
    context.epoch = insider.context.epoch;
    context.serial = play_membership(play->mn, PLAY_GROUP)->serial;
    sealed_is_refused(play->door, &insider, &context, plaintext, TOPIC(COMMAND), AUDIT_COMMANDS_REFUSED,
                      "is not its relay's");
    /* The twin: its own order is executed. */
    play_order(play, "close", PLAY_DOOR, 60000, scene->id);
    assert_int_equal(given(play->door), 1);
    publish_drop(of_first[0]);
    publish_drop(of_first[1]);
    scene_free(scene);
}

/* ---- replays ---- */

static void replay_to(struct site_node *node, Groupseal__Secenv__Publish *const *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        attack_changes_nothing(node, all[i], false);
        attack_changes_nothing(node, all[i], true);
    }
}

static void replay_all(struct play *play, Groupseal__Secenv__Publish *const *all, size_t count)
{
    replay_to(play->door, all, count);
    replay_to(play->door2, all, count);
    /* Any request brings a turn: what the MN-CSE does at this time by itself is done before. */
    Groupseal__Secenv__Publish nothing = publish_of(TOPIC(POLICY), "", (struct bytes){NULL, 0});
    site_settle(play->site);
    twin_is_taken(play->mn, &nothing, true);
    replay_to(play->mn, all, count);
}

/* Everything that was ever said, to everybody, in every state that a member can be in. */
static void everything_repeated_in_every_state(void **state)
{
    (void)state;
    struct play *play = play_new(2);
    uint8_t id[COMMAND_ID_SIZE];
    signed_group_add(play);
    static const char *const groups[] = {PLAY_GROUP, SIGNED_GROUP};
    Groupseal__Secenv__Publish *said[4];
    for (size_t i = 0; i < 2; i++) {
        said[2 * i] = speak(play->door, groups[i], "85 C");
        said[2 * i + 1] = speak(play->door2, groups[i], "86 C");
        twin_is_taken(play->door2, said[2 * i], false);
        twin_is_taken(play->mn, said[2 * i], false);
        twin_is_taken(play->door, said[2 * i + 1], false);
        twin_is_taken(play->mn, said[2 * i + 1], false);
    }
    play_order(play, "close", NULL, 3600000, id);
    assert_int_equal(play_commands(play->door), 1);
    assert_int_equal(play_commands(play->door2), 1);
    assert_int_equal(play_finish(play->door, id, true, ""), CODE(OK));
    assert_int_equal(play_finish(play->door2, id, false, "stuck"), CODE(OK));
    site_advance(play->site, 2000);
    (void)site_join(play->site, DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(play->site, 2000);

    Groupseal__Secenv__Publish *all[260];
    size_t count = 0;
    for (size_t i = 0; i < play->captured_count; i++) {
        all[count++] = publish_keep(play->captured[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        all[count++] = said[i];
    }
    assert_true(count > 30);
    replay_all(play, all, count); /* at once */
    site_online(play->door, false);
    replay_all(play, all, count); /* while the victim is away */
    site_online(play->door, true);
    site_settle(play->site);
    replay_all(play, all, count); /* connected, before the reply to its sync */
    site_advance(play->site, 1000);
    for (size_t i = 0; i < 3; i++) {
        struct site_node *nodes[] = {play->mn, play->door, play->door2};
        site_restart(nodes[i]);
        replay_all(play, all, count); /* at once after a restart … */
        site_advance(play->site, 1000);
        replay_all(play, all, count); /* … and when it is synchronised again */
    }
    assert_int_equal(operator_evict(play->site, DOOR_3), CODE(OK));
    site_advance(play->site, 1000);
    replay_all(play, all, count); /* in a new epoch, within the overlap */
    site_advance(play->site, 31000);
    replay_all(play, all, count); /* and after it */
    site_advance(play->site, 3600000);
    replay_all(play, all, count); /* and when the order has expired */
    assert_int_equal(play_outcome(play, id, PLAY_DOOR, NULL), GROUPSEAL__SECENV__OUTCOME__DONE);
    assert_int_equal(play_outcome(play, id, PLAY_DOOR_2, NULL), GROUPSEAL__SECENV__OUTCOME__FAILED);
    /* The twin: a new order, which was never heard, is executed once by each. */
    size_t had = play_commands(play->door);
    play_order(play, "open", NULL, 60000, id);
    assert_int_equal(play_commands(play->door), had + 1);
    for (size_t i = 0; i < count; i++) {
        publish_drop(all[i]);
    }
    play_free(play);
}

static void command_with_the_retained_flag(void **state)
{
    (void)state;
    struct scene *scene = scene_new();
    attack_is_refused(scene->play->door, scene->recorded, true, AUDIT_COMMANDS_REFUSED, "a retained command");
    recorded_is_executed(scene);
    scene_free(scene);
}

/* ---- a revoked commander with a friend inside ---- */

/* An order that the MN-CSE gives itself, sealed by it, with the group key of `insider`. */
static struct buffer own_order(const struct insider *insider, const struct signing_key *commander,
                               const char *name, const struct signing_key *relay, struct seal_context context,
                               uint64_t now_ms)
{
    static uint8_t id[COMMAND_ID_SIZE] = {9};
    Groupseal__Envelope__Order order = GROUPSEAL__ENVELOPE__ORDER__INIT;
    Groupseal__Envelope__Command command = GROUPSEAL__ENVELOPE__COMMAND__INIT;
    uint8_t hash[HASH_SIZE];
    uint8_t signature[2][SIGNATURE_SIZE];
    char *sites[1] = {(char *)(uintptr_t)context.site};
    struct bytes body = bytes_of_text("open");
    id[1]++;
    order.command_id = arena_field(BYTES_OF(id));
    order.issued_ms = now_ms;
    order.expires_ms = now_ms + 3600000;
    order.sites = sites;
    order.n_sites = 1;
    order.commander = (char *)(uintptr_t)name;
    assert_int_equal(order_sign(&order, context.instance, context.incarnation, body, commander, signature[0]),
                     RESULT_OK);
    command.order = &order;
    command.body = arena_field(body);
    command.seal_expires_ms = UINT64_C(1) << 62;
    context.kind = KIND(COMMAND);
    context.ae = "";
    assert_int_equal(order_hash(&order, context.instance, context.incarnation, body, hash), RESULT_OK);
    assert_int_equal(seal_sign(&context, command.seal_expires_ms, hash, relay, signature[1]), RESULT_OK);
    command.seal_signature = arena_field(BYTES_OF(signature[1]));
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    assert_int_equal(message_pack(&command.base, &packed), RESULT_OK);
    struct buffer payload = insider_seal(insider, &context, buffer_bytes(&packed));
    buffer_clear(&packed);
    return payload;
}

/*
 * mn-2 relays and commands the doors at its site. It is evicted, and its whole state taken; a door at its
 * site, a friend, gives it each new key. The victim, a door there too, has heard the news from the other
 * site.
 */
static void revoked_commander_with_a_friend_inside(void **state)
{
    (void)state;
    struct play play = {.site = site_new()};
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE, (char *)(uintptr_t)MN_2};
    play.mn = site_join(play.site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    struct site_node *mn_2 = site_join(play.site, MN_2, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    group.name = (char *)(uintptr_t)PLAY_GROUP;
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 2; /* not "authority only": MN-CSEs are commanders */
    assert_int_equal(operator_create(play.site, &group), CODE(OK));
    play.door = site_join(play.site, PLAY_DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, MN_2, "door");
    play.door2 = site_join(play.site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, MN_2, "door");
    site_advance(play.site, 3000);

    struct insider relay;
    insider_take(&play, mn_2, PLAY_GROUP, &relay);
    relay.context.site = "mn-2";
    relay.context.counter += 10000000u;
    struct buffer payload =
        own_order(&relay, &relay.signing, MN_2, &relay.signing, relay.context, site_now_ms(play.site));
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    publish.site = (char *)(uintptr_t) "mn-2";
    twin_is_taken(play.door, &publish, false); /* the twin: while it is a commander */
    assert_int_equal(play_commands(play.door), 1);
    buffer_clear(&payload);

    assert_int_equal(operator_evict(play.site, MN_2), CODE(OK));
    site_advance(play.site, 1000);
    static const Groupseal__Secenv__TopicKind news[] = {TOPIC(POLICY), TOPIC(EPOCH)};
    struct site_node *doors[] = {play.door, play.door2};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < 2; k++) {
            publish = publish_of(news[k], "", site_retained(play.site, PLAY_SITE, PLAY_GROUP, news[k]));
            publish.site = (char *)(uintptr_t) "mn-2"; /* which site gives it means nothing */
            twin_is_taken(doors[i], &publish, true);
        }
    }
    struct insider friend;
    insider_take(&play, play.door2, PLAY_GROUP, &friend);
    assert_true(friend.context.epoch > relay.context.epoch);
    struct seal_context context = relay.context;
    context.counter += 10000000u;
    context.epoch = friend.context.epoch;
    payload = own_order(&friend, &relay.signing, MN_2, &relay.signing, context, site_now_ms(play.site));
    publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    publish.site = (char *)(uintptr_t) "mn-2";
    attack_is_refused(play.door, &publish, false, AUDIT_COMMANDS_REFUSED, "is no relay of");
    buffer_clear(&payload);
    /* In the epoch in which it was one, within the overlap: the policy is the new one's. */
    context.epoch = relay.context.epoch;
    payload = own_order(&relay, &relay.signing, MN_2, &relay.signing, context, site_now_ms(play.site));
    publish.payload = arena_field(buffer_bytes(&payload));
    attack_is_refused(play.door, &publish, false, AUDIT_COMMANDS_REFUSED, "is no relay of");
    buffer_clear(&payload);
    site_free(play.site);
}

/* The MN-CSE's next: with all that it has, its counter too. */
static void counter_of_relay(struct play *play, uint64_t *out)
{
    struct reason why;
    assert_int_equal(counter_next(&play_membership(play->mn, PLAY_GROUP)->seal_counter, site_store(play->mn),
                                  site_clock(play->site), out, &why),
                     RESULT_OK);
}

/* A relay that is no commander, with all its keys: its order is refused, and the refusal told. */
static void order_of_a_relay_that_is_no_commander(void **state)
{
    (void)state;
    struct play *play = play_new(1); /* "authority only" */
    struct insider relay;
    insider_take(play, play->mn, PLAY_GROUP, &relay);
    relay.context.site = PLAY_SITE;
    counter_of_relay(play, &relay.context.counter);
    struct counts before = counts_now();
    struct buffer payload = own_order(&relay, &relay.signing, SITE_MN_CSE, &relay.signing, relay.context,
                                      site_now_ms(play->site));
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    twin_is_taken(play->door, &publish, false); /* its seal is right, so that it is answered */
    assert_int_equal(counts_since(&before, AUDIT_COMMANDS_REFUSED), 1);
    assert_int_equal(counts_since(&before, AUDIT_COMMANDS_OPENED), 0);
    assert_int_equal(given(play->door), 0);
    const Groupseal__Secenv__Event *event =
        site_last_event(play->door, GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE);
    assert_non_null(event);
    assert_non_null(strstr(event->notice->text, "its commander is not in the policy"));
    buffer_clear(&payload);
    /* Named as the authority, or nobody: the signature is not the authority's. */
    static const char *const names[] = {SITE_AUTHORITY, ""};
    for (size_t i = 0; i < 2; i++) {
        counter_of_relay(play, &relay.context.counter);
        payload = own_order(&relay, &relay.signing, names[i], &relay.signing, relay.context,
                            site_now_ms(play->site));
        publish.payload = arena_field(buffer_bytes(&payload));
        attack_is_refused(play->door, &publish, false, AUDIT_COMMANDS_REFUSED, "order");
        buffer_clear(&payload);
    }
    /* The twin: an order of the commander; its receipt says what became of it. */
    uint8_t id[COMMAND_ID_SIZE];
    play_order(play, "close", PLAY_DOOR, 60000, id);
    assert_int_equal(play_commands(play->door), 1);
    play_free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_command_sealed_again),
        cmocka_unit_test(recorded_command_in_the_next_epoch),
        cmocka_unit_test(command_of_one_that_left),
        cmocka_unit_test(order_altered_on_the_way),
        cmocka_unit_test(sealed_as_another_device),
        cmocka_unit_test(high_counters_mute_nobody),
        cmocka_unit_test(receipt_forged_for_another),
        cmocka_unit_test(kinds_swapped),
        cmocka_unit_test(another_group),
        cmocka_unit_test(another_site),
        cmocka_unit_test(another_instance),
        cmocka_unit_test(everything_repeated_in_every_state),
        cmocka_unit_test(command_with_the_retained_flag),
        cmocka_unit_test(revoked_commander_with_a_friend_inside),
        cmocka_unit_test(order_of_a_relay_that_is_no_commander),
    };
    return cmocka_run_group_tests_name("attack/group", tests, NULL, NULL);
}
