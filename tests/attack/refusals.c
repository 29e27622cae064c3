/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/association.h"
#include "tests/attack/attack.h"
#include "tests/unit/hand.h"

/*
 * Every way in on which something from afar can be refused, once each: its counter rises. (That one of them
 * rises with each refusal in whatever test, tests/unit/site.c watches.) And what is told of refusals: a few
 * of each originator, never so many that others go unheard.
 */

#define DOOR PLAY_DOOR
#define OBJECT(name_) GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_##name_
#define BODY(name_) GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_##name_

typedef Groupseal__Envelope__EndToEnd EndToEnd;
typedef Groupseal__Envelope__RecordBody RecordBody;

static const struct bytes GARBAGE = {(const uint8_t *)"\xff garbage", 9};

static int setup(void **state)
{
    *state = play_new(1);
    return 0;
}

static int teardown(void **state)
{
    play_free(*state);
    return 0;
}

static void assert_risen(const struct counts *before, enum audit_counter counter, uint64_t by)
{
    if (counts_since(before, counter) != by) {
        fail_msg("%s has risen by %u, not by %u", audit_name(counter),
                 (unsigned)counts_since(before, counter), (unsigned)by);
    }
}

static struct buffer packed(const EndToEnd *object)
{
    struct buffer out = BUFFER_EMPTY(65536);
    size_t size = groupseal__envelope__end_to_end__get_packed_size(object);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    (void)groupseal__envelope__end_to_end__pack(object, bytes);
    assert_int_equal(buffer_append(&out, (struct bytes){bytes, size}), RESULT_OK);
    free(bytes);
    return out;
}

/* ---- end-to-end objects ---- */

static void object_counts(struct site_node *node, const char *from, struct bytes object,
                          enum audit_counter counter)
{
    struct counts before = counts_now();
    struct buffer answer = site_received(node, from, "hop", object);
    assert_true(hand_is_refusal(buffer_bytes(&answer)));
    buffer_clear(&answer);
    assert_risen(&before, counter, 1);
}

/* Well formed, of an association and a handshake that nobody has. */
static void record_fill(Groupseal__Envelope__Record *record)
{
    static const uint8_t bytes[32] = {7};
    groupseal__envelope__record__init(record);
    record->type = GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ACCEPT;
    record->association = arena_field((struct bytes){bytes, ASSOCIATION_ID_SIZE});
    record->boot = arena_field((struct bytes){bytes, BOOT_SIZE});
    record->counter = 1;
    record->ciphertext = arena_field(BYTES_OF(bytes));
}

static struct buffer record_of_nobody(void)
{
    EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    Groupseal__Envelope__Record record;
    record_fill(&record);
    object.content_case = OBJECT(RECORD);
    object.record = &record;
    return packed(&object);
}

static struct buffer flight_of_nobody(void)
{
    uint8_t hash[HASH_SIZE] = {7};
    EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
    Groupseal__Envelope__Record record;
    record_fill(&record);
    flight.number = 3;
    flight.hello_hash = arena_field(BYTES_OF(hash));
    flight.tls = arena_field(BYTES_OF(hash));
    flight.record = &record;
    object.content_case = OBJECT(FLIGHT);
    object.flight = &flight;
    return packed(&object);
}

static struct buffer refusal(void)
{
    EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    Groupseal__Envelope__Refusal content = GROUPSEAL__ENVELOPE__REFUSAL__INIT;
    object.content_case = OBJECT(REFUSAL);
    object.refusal = &content;
    return packed(&object);
}

static void objects_at_a_member(void **state)
{
    struct play *play = *state;
    struct buffer record = record_of_nobody();
    struct buffer flight = flight_of_nobody();
    struct site_node *lonely =
        site_provision(play->site, "//sp.example/Slonely", IDENTITY_ADN_AE, CREDENTIALS_PSK);
    object_counts(play->door, "//sp.example/Sother", buffer_bytes(&record), AUDIT_OBJECTS_REFUSED);
    object_counts(play->door, SITE_AUTHORITY, GARBAGE, AUDIT_OBJECTS_REFUSED);
    object_counts(play->door, SITE_AUTHORITY, buffer_bytes(&flight), AUDIT_OBJECTS_REFUSED);
    object_counts(play->door, SITE_AUTHORITY, buffer_bytes(&record), AUDIT_RECORDS_REFUSED);
    object_counts(lonely, SITE_AUTHORITY, buffer_bytes(&record), AUDIT_RECORDS_REFUSED);
    buffer_clear(&record);
    buffer_clear(&flight);
}

static void objects_at_the_authority(void **state)
{
    struct play *play = *state;
    struct site_node *authority = site_authority(play->site);
    struct buffer record = record_of_nobody();
    struct buffer flight = flight_of_nobody();
    struct buffer none = refusal();
    struct counts before = counts_now();
    object_counts(authority, "//sp.example/Sstranger", buffer_bytes(&flight), AUDIT_REFUSED_UNKNOWN);
    object_counts(authority, "//sp.example/Sstranger", buffer_bytes(&record), AUDIT_RECORDS_REFUSED);
    assert_risen(&before, AUDIT_HANDSHAKES_REFUSED, 1);
    object_counts(authority, DOOR, GARBAGE, AUDIT_OBJECTS_REFUSED);
    before = counts_now();
    struct buffer answer = site_received(authority, DOOR, SITE_MN_CSE, buffer_bytes(&none));
    buffer_clear(&answer);
    assert_risen(&before, AUDIT_OBJECTS_REFUSED, 1);
    answer = site_received(authority, DOOR, SITE_MN_CSE, buffer_bytes(&record));
    buffer_clear(&answer);
    assert_risen(&before, AUDIT_RECORDS_REFUSED, 1);
    answer = site_received(authority, DOOR, SITE_MN_CSE, buffer_bytes(&flight));
    buffer_clear(&answer);
    assert_risen(&before, AUDIT_HANDSHAKES_REFUSED, 1);
    buffer_clear(&record);
    buffer_clear(&flight);
    buffer_clear(&none);
}

/* ---- authentic records, whose content is not taken ---- */

struct wanted {
    const char *member;
    struct association association;
    bool found;
};

static enum result association_keep(void *context, const struct association *association)
{
    struct wanted *wanted = context;
    if (strcmp(association->member, wanted->member) == 0) {
        wanted->association = *association;
        wanted->found = true;
    }
    return RESULT_OK;
}

/* Sealed with the authority's end of the member's association, as only it can. */
static struct buffer record_of_the_authority(struct play *play, const char *member, const RecordBody *body,
                                             struct arena *arena)
{
    struct wanted wanted = {.member = member};
    struct store *store = site_store(site_authority(play->site));
    struct reason why;
    EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    assert_int_equal(association_load(store, ASSOCIATION_AUTHORITY, association_keep, &wanted, &why),
                     RESULT_OK);
    assert_true(wanted.found);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(association_seal(&wanted.association, store, site_clock(play->site), body, arena,
                                      &object.record, &why),
                     RESULT_OK);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    association_wipe(&wanted.association);
    object.content_case = OBJECT(RECORD);
    return packed(&object);
}

/* A device that is given a change, which is for an MN-CSE. The twin: the same from the authority is LEFT. */
static void contents_at_a_member(void **state)
{
    struct play *play = *state;
    struct arena *arena = arena_new(1024 * 1024);
    RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Change change = GROUPSEAL__ENVELOPE__CHANGE__INIT;
    Groupseal__Envelope__Left left = GROUPSEAL__ENVELOPE__LEFT__INIT;
    change.group = (char *)(uintptr_t)PLAY_GROUP;
    body.content_case = BODY(CHANGE);
    body.change = &change;
    body.item = 1;
    struct counts before = counts_now();
    struct buffer object = record_of_the_authority(play, DOOR, &body, arena);
    struct buffer answer = site_received(play->door, SITE_AUTHORITY, "hop", buffer_bytes(&object));
    assert_false(hand_is_refusal(buffer_bytes(&answer))); /* an ACCEPT that says no */
    assert_risen(&before, AUDIT_CONTENTS_REFUSED, 1);
    buffer_clear(&object);
    buffer_clear(&answer);

    left.group = (char *)(uintptr_t) "another";
    body.content_case = BODY(LEFT);
    body.left = &left;
    object = record_of_the_authority(play, DOOR, &body, arena);
    answer = site_received(play->door, SITE_AUTHORITY, "hop", buffer_bytes(&object));
    assert_risen(&before, AUDIT_CONTENTS_REFUSED, 1);
    buffer_clear(&object);
    buffer_clear(&answer);
    arena_free(arena);
}

static void contents_at_the_authority(void **state)
{
    struct play *play = *state;
    struct hand *hand = hand_new(play->site, "//sp.example/Shand", IDENTITY_ADN_AE, CREDENTIALS_PSK);
    site_enrol(play->site, hand->name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, NULL);
    assert_true(hand_authenticate(hand));
    RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Newest newest = GROUPSEAL__ENVELOPE__NEWEST__INIT;
    body.content_case = BODY(NEWEST);
    body.newest = &newest;
    struct counts before = counts_now();
    assert_int_not_equal(hand_say(hand, &body), 0);
    assert_risen(&before, AUDIT_CONTENTS_REFUSED, 1);
    site_free(play->site); /* before the hand, to which it may send */
    play->site = NULL;
    hand_free(hand);
}

/* ---- answers ---- */

static Groupseal__Secenv__Code answered(struct site_node *node, uint64_t token, struct bytes object)
{
    Groupseal__Secenv__Answered content = GROUPSEAL__SECENV__ANSWERED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = (char *)(uintptr_t)site_name(node);
    content.token = token;
    content.object = arena_field(object);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED;
    request.answered = &content;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    Groupseal__Secenv__Code code = reply->code;
    site_reply_free(reply);
    return code;
}

static void answer_counts(struct site_node *node, struct bytes object, enum audit_counter counter)
{
    struct counts before = counts_now();
    (void)answered(node, 7, object);
    assert_risen(&before, counter, 1);
}

static void answers(void **state)
{
    struct play *play = *state;
    struct buffer none = refusal();
    struct buffer flight = flight_of_nobody();
    struct buffer record = record_of_nobody();
    answer_counts(play->door, GARBAGE, AUDIT_ANSWERS_REFUSED);
    answer_counts(play->door, buffer_bytes(&none), AUDIT_ANSWERS_REFUSED);
    answer_counts(play->door, buffer_bytes(&flight), AUDIT_ANSWERS_REFUSED);
    answer_counts(play->door, buffer_bytes(&record), AUDIT_RECORDS_REFUSED);
    answer_counts(site_authority(play->site), GARBAGE, AUDIT_ANSWERS_REFUSED); /* of no Send */
    buffer_clear(&none);
    buffer_clear(&flight);
    buffer_clear(&record);
}

static void answers_of_a_handshake(void **state)
{
    struct play *play = *state;
    struct site_node *node =
        site_provision(play->site, "//sp.example/Slonely", IDENTITY_ADN_AE, CREDENTIALS_PSK);
    struct counts before = counts_now();
    site_online(node, true); /* it is not in the roster: the authority answers with a refusal */
    site_settle(play->site);
    assert_risen(&before, AUDIT_REFUSED_UNKNOWN, 1);
    assert_risen(&before, AUDIT_ANSWERS_REFUSED, 1);
}

/* ---- topics ---- */

static void topics_at_a_member(void **state)
{
    struct play *play = *state;
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(COMMAND), "", GARBAGE);
    attack_is_refused(play->door, &publish, false, AUDIT_COMMANDS_REFUSED, "");
    publish.kind = TOPIC(MESSAGE);
    publish.sender = (char *)(uintptr_t)SITE_MN_CSE;
    attack_is_refused(play->door, &publish, false, AUDIT_MESSAGES_REFUSED, "");
    publish.sender = (char *)(uintptr_t) "";
    publish.kind = TOPIC(EPOCH);
    attack_is_refused(play->door, &publish, true, AUDIT_ANNOUNCEMENTS_REFUSED, "no announcement");
    publish.kind = TOPIC(POLICY);
    attack_is_refused(play->door, &publish, true, AUDIT_POLICIES_REFUSED, "no policy");
    publish.kind = TOPIC(TREE);
    attack_is_refused(play->door, &publish, true, AUDIT_BLOCKS_REFUSED, "no block");
    publish.kind = TOPIC(ACK);
    attack_is_refused(play->door, &publish, false, AUDIT_TOPICS_REFUSED, "not for a member");
    publish.kind = TOPIC(COMMAND);
    publish.site = (char *)(uintptr_t) "mn-2";
    attack_is_refused(play->door, &publish, false, AUDIT_TOPICS_REFUSED, "does not relay");
    publish.site = (char *)(uintptr_t)PLAY_SITE;
    publish.group = (char *)(uintptr_t) "windows";
    attack_is_refused(play->door, &publish, false, AUDIT_TOPICS_REFUSED, "is not in group");
}

static void topics_at_an_mn_cse(void **state)
{
    struct play *play = *state;
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(ACK), DOOR, GARBAGE);
    attack_is_refused(play->mn, &publish, false, AUDIT_RECEIPTS_REFUSED, "");
    publish.kind = TOPIC(MESSAGE);
    attack_is_refused(play->mn, &publish, false, AUDIT_MESSAGES_REFUSED, "");
    publish.kind = TOPIC(NONE);
    attack_is_refused(play->mn, &publish, false, AUDIT_TOPICS_REFUSED, "no known topic");
    publish.kind = TOPIC(ACK);
    publish.site = (char *)(uintptr_t) "mn-2";
    attack_is_refused(play->mn, &publish, false, AUDIT_TOPICS_REFUSED, "is not that of");
}

/* What is retained, with one byte of the signature another; then as it is. */
static void retained_counts(struct play *play, Groupseal__Secenv__TopicKind kind, enum audit_counter counter)
{
    struct bytes payload = site_retained(play->site, PLAY_SITE, PLAY_GROUP, kind);
    struct buffer forged = BUFFER_EMPTY(65536);
    assert_true(payload.length > 0);
    assert_int_equal(buffer_append(&forged, payload), RESULT_OK);
    forged.data[forged.length - 1] ^= 1;
    Groupseal__Secenv__Publish publish = publish_of(kind, "", buffer_bytes(&forged));
    attack_is_refused(play->door, &publish, true, counter, "");
    publish.payload = arena_field(payload);
    twin_is_taken(play->door, &publish, true);
    buffer_clear(&forged);
}

static void forged_state(void **state)
{
    struct play *play = *state;
    retained_counts(play, TOPIC(EPOCH), AUDIT_ANNOUNCEMENTS_REFUSED);
    retained_counts(play, TOPIC(POLICY), AUDIT_POLICIES_REFUSED);
}

/* Sealed under the relay's serial by somebody of the group: no reply at all, and one without its signature.
 */
static void forged_sync_replies(void **state)
{
    struct play *play = *state;
    struct insider insider;
    Groupseal__Envelope__SyncReply reply = GROUPSEAL__ENVELOPE__SYNC_REPLY__INIT;
    uint8_t signature[SIGNATURE_SIZE] = {0};
    uint8_t plaintext[256];
    insider_take(play, play->door, PLAY_GROUP, &insider);
    insider.context.ae = "";
    insider.context.kind = KIND(SYNC);
    insider.context.serial = play_membership(play->mn, PLAY_GROUP)->serial;
    struct buffer payload = insider_seal(&insider, &insider.context, GARBAGE);
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    attack_is_refused(play->door, &publish, false, AUDIT_SYNCS_REFUSED, "malformed");
    buffer_clear(&payload);

    reply.seal_signature = arena_field(BYTES_OF(signature));
    size_t size = groupseal__envelope__sync_reply__pack(&reply, plaintext);
    payload = insider_seal(&insider, &insider.context, (struct bytes){plaintext, size});
    publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    attack_is_refused(play->door, &publish, false, AUDIT_SYNCS_REFUSED, "not its relay's");
    buffer_clear(&payload);

    insider.context.serial++;
    payload = insider_seal(&insider, &insider.context, (struct bytes){plaintext, size});
    publish = publish_of(TOPIC(COMMAND), "", buffer_bytes(&payload));
    attack_is_refused(play->door, &publish, false, AUDIT_SYNCS_REFUSED, "is no relay of");
    buffer_clear(&payload);
}

/* What claims a newer epoch waits for it, and is dropped in the end: counted too. */
static void waited_in_vain(void **state)
{
    struct play *play = *state;
    struct insider insider;
    insider_take(play, play->door, PLAY_GROUP, &insider);
    insider.context.ae = SITE_MN_CSE;
    insider.context.epoch++;
    struct buffer payload = insider_seal(&insider, &insider.context, GARBAGE);
    Groupseal__Secenv__Publish publish = publish_of(TOPIC(MESSAGE), SITE_MN_CSE, buffer_bytes(&payload));
    struct counts before = counts_now();
    twin_is_taken(play->door, &publish, false); /* nothing of it can be told yet */
    assert_risen(&before, AUDIT_MESSAGES_REFUSED, 0);
    site_advance(play->site, 60000);
    assert_risen(&before, AUDIT_MESSAGES_REFUSED, 1);
    buffer_clear(&payload);
}

/* ---- what is told ---- */

static size_t notices_with(const struct site_node *node, const char *words)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        count += event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE &&
                 strstr(event->notice->text, words) != NULL;
    }
    return count;
}

static void receive(struct site_node *node, const char *from, const char *hop)
{
    struct buffer answer = site_received(node, from, hop, GARBAGE);
    buffer_clear(&answer);
}

static void a_flood_hides_nobody_else(void **state)
{
    struct play *play = *state;
    struct counts before = counts_now();
    site_advance(play->site, MODERATION_EACH_US / 1000);
    site_events_clear(play->door);
    for (unsigned i = 0; i < MODERATION_EACH + 30; i++) {
        char from[64]; /* any number of names through one hop */
        (void)snprintf(from, sizeof(from), "//sp.example/Sevil%u", i);
        receive(play->door, from, "//sp.example/evil");
    }
    assert_risen(&before, AUDIT_OBJECTS_REFUSED, MODERATION_EACH + 30);
    assert_int_equal(notices_with(play->door, "refused:"), MODERATION_EACH);
    receive(play->door, "//sp.example/Shonest", "//sp.example/honest");
    assert_int_equal(notices_with(play->door, "Shonest"), 1);
    receive(play->mn, "//sp.example/Sevil1", "//sp.example/evil"); /* another one's account */
    site_advance(play->site, MODERATION_EACH_US / 1000);
    receive(play->door, "//sp.example/Sevil1", "//sp.example/evil");
    assert_int_equal(notices_with(play->door, "30 more, not shown"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_at_a_member),
        TEST(objects_at_the_authority),
        TEST(contents_at_a_member),
        TEST(contents_at_the_authority),
        TEST(answers),
        TEST(answers_of_a_handshake),
        TEST(topics_at_a_member),
        TEST(topics_at_an_mn_cse),
        TEST(forged_state),
        TEST(forged_sync_replies),
        TEST(waited_in_vain),
        TEST(a_flood_hides_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
