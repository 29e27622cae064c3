/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/dispatch_store.h"
#include "secenv/member/packed.h"
#include "tests/unit/member_play.h"
#include "tests/unit/operator.h"

#define OWNER_CONNECTION 1u
#define OPERATOR_CONNECTION SITE_OPERATOR_CONNECTION

/* ---- capturing ---- */

static enum site_fate capture(void *context, const struct site_message *message)
{
    struct play *play = context;
    if (message->what != SITE_PUBLISH) {
        return SITE_DELIVER;
    }
    if (play->captured_count == sizeof(play->captured) / sizeof(play->captured[0])) {
        play_forget(play);
    }
    play->captured[play->captured_count++] = site_publish_copy(message->publish);
    bool kind = play->dropped_kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_NONE ||
                play->dropped_kind == message->publish->kind;
    bool dropped = play->dropped_to != NULL && strcmp(message->to, play->dropped_to) == 0 && kind;
    return dropped ? SITE_DROP : SITE_DELIVER;
}

void play_forget(struct play *play)
{
    for (size_t i = 0; i < play->captured_count; i++) {
        groupseal__secenv__publish__free_unpacked(play->captured[i], NULL);
    }
    play->captured_count = 0;
}

static const Groupseal__Secenv__Publish *captured_find(struct play *play, Groupseal__Secenv__TopicKind kind,
                                                       const char *sender)
{
    for (size_t i = play->captured_count; i > 0; i--) {
        const Groupseal__Secenv__Publish *publish = play->captured[i - 1];
        if (publish->kind == kind && (sender == NULL || strcmp(publish->sender, sender) == 0)) {
            return publish;
        }
    }
    fail_msg("nothing of topic kind %d was published", (int)kind);
    return NULL;
}

const Groupseal__Secenv__Publish *play_last(struct play *play, Groupseal__Secenv__TopicKind kind)
{
    return captured_find(play, kind, NULL);
}

const Groupseal__Secenv__Publish *play_last_of(struct play *play, Groupseal__Secenv__TopicKind kind,
                                               const char *sender)
{
    return captured_find(play, kind, sender);
}

/* ---- the play ---- */

static struct play *play_with(size_t doors, bool authority_only)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)SITE_MN_CSE};
    group.name = (char *)PLAY_GROUP;
    group.function = (char *)"door";
    group.sites = sites;
    group.n_sites = 1;
    group.authority_only = authority_only;
    struct play *play = calloc(1, sizeof(*play));
    assert_non_null(play);
    play->site = site_new();
    site_carry(play->site, capture, play);
    play->mn = site_join(play->site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    assert_int_equal(operator_create(play->site, &group), GROUPSEAL__SECENV__CODE__OK);
    play->door = site_join(play->site, PLAY_DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    if (doors > 1) {
        play->door2 =
            site_join(play->site, PLAY_DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    }
    site_advance(play->site, 1000);
    assert_true(play_membership(play->door, PLAY_GROUP)->sites[0].synchronised);
    return play;
}

struct play *play_new(size_t doors)
{
    return play_with(doors, true);
}

struct play *play_new_commanding(size_t doors)
{
    return play_with(doors, false);
}

void play_free(struct play *play)
{
    site_free(play->site);
    play_forget(play);
    free(play);
}

struct membership *play_membership(struct site_node *node, const char *group)
{
    struct identity_state *identity = engine_identity(site_engine(node), site_name(node));
    assert_non_null(identity);
    struct membership *membership = membership_find(identity, group);
    assert_non_null(membership);
    return membership;
}

/* ---- requests ---- */

void play_order(struct play *play, const char *body, const char *target, uint32_t valid_ms,
                uint8_t id[COMMAND_ID_SIZE])
{
    Groupseal__Secenv__OrderSend order = GROUPSEAL__SECENV__ORDER_SEND__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    char *targets[1] = {(char *)target};
    order.group = (char *)PLAY_GROUP;
    order.body = arena_field(bytes_of_text(body));
    order.targets = targets;
    order.n_targets = target == NULL ? 0 : 1;
    order.valid_ms = valid_ms;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SEND;
    request.order_send = &order;
    Groupseal__Secenv__Reply *reply =
        site_request(site_authority(play->site), SOCKET_OPERATOR, OPERATOR_CONNECTION, &request);
    if (reply->code != GROUPSEAL__SECENV__CODE__OK) {
        fail_msg("order: %s", reply->reason);
    }
    assert_int_equal(reply->order->command_id.len, COMMAND_ID_SIZE);
    memcpy(id, reply->order->command_id.data, COMMAND_ID_SIZE);
    site_reply_free(reply);
    site_settle(play->site);
}

Groupseal__Secenv__Code play_finish(struct site_node *node, const uint8_t id[COMMAND_ID_SIZE], bool done,
                                    const char *detail)
{
    Groupseal__Secenv__Finished finished = GROUPSEAL__SECENV__FINISHED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    finished.identity = (char *)site_name(node);
    finished.group = (char *)PLAY_GROUP;
    finished.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    finished.done = done;
    finished.detail = (char *)detail;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_FINISHED;
    request.finished = &finished;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, OWNER_CONNECTION, &request);
    Groupseal__Secenv__Code code = reply->code;
    site_reply_free(reply);
    return code;
}

Groupseal__Secenv__Outcome play_outcome(struct play *play, const uint8_t id[COMMAND_ID_SIZE],
                                        const char *name, bool *complete)
{
    Groupseal__Secenv__OrderShow show = GROUPSEAL__SECENV__ORDER_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Outcome outcome = GROUPSEAL__SECENV__OUTCOME__NO_ANSWER;
    show.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SHOW;
    request.order_show = &show;
    Groupseal__Secenv__Reply *reply =
        site_request(site_authority(play->site), SOCKET_OPERATOR, OPERATOR_CONNECTION, &request);
    assert_int_equal(reply->code, GROUPSEAL__SECENV__CODE__OK);
    const Groupseal__Secenv__OrderRow *row = play_row(reply->report, name);
    if (row != NULL) {
        outcome = row->outcome;
    }
    if (complete != NULL) {
        *complete = reply->report->complete;
    }
    site_reply_free(reply);
    return outcome;
}

Groupseal__Secenv__Reply *play_own_command(struct site_node *mn, const char *body, uint32_t valid_ms)
{
    Groupseal__Secenv__Command command = GROUPSEAL__SECENV__COMMAND__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    command.identity = (char *)(uintptr_t)SITE_MN_CSE;
    command.group = (char *)(uintptr_t)PLAY_GROUP;
    command.body = arena_field(bytes_of_text(body));
    command.valid_ms = valid_ms;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND;
    request.command = &command;
    return site_request(mn, SOCKET_OWNER, OWNER_CONNECTION, &request);
}

Groupseal__Secenv__Reply *play_own_shown(struct site_node *mn, const uint8_t id[COMMAND_ID_SIZE],
                                         uint32_t page)
{
    Groupseal__Secenv__CommandShow show = GROUPSEAL__SECENV__COMMAND_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    show.identity = (char *)(uintptr_t)SITE_MN_CSE;
    show.group = (char *)(uintptr_t)PLAY_GROUP;
    show.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    show.page = page;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_COMMAND_SHOW;
    request.command_show = &show;
    return site_request(mn, SOCKET_OWNER, OWNER_CONNECTION, &request);
}

const Groupseal__Secenv__OrderRow *play_row(const Groupseal__Secenv__OrderReport *report, const char *name)
{
    for (size_t i = 0; i < report->n_rows; i++) {
        if (strcmp(report->rows[i]->name, name) == 0) {
            return report->rows[i];
        }
    }
    return NULL;
}

size_t play_commands(const struct site_node *node)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        count += site_event(node, i)->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND;
    }
    return count;
}

/* ---- sealing by hand ---- */

void play_forgery(struct play *play, const uint8_t id[COMMAND_ID_SIZE], struct arena *arena,
                  struct forgery *out)
{
    struct membership *membership = play_membership(play->mn, PLAY_GROUP);
    struct relay *relay = membership->relay;
    struct reason why;
    *out = (struct forgery){.relay = membership->identity->signing,
                            .epoch_key = membership->current.secret,
                            .aead = (enum aead)membership_policy(membership)->aead};
    out->context = (struct seal_context){.incarnation = membership->incarnation,
                                         .site = relay->site,
                                         .kind = GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND,
                                         .ae = "",
                                         .epoch = membership->current.epoch,
                                         .serial = membership->serial};
    memcpy(out->context.instance, membership->instance, INSTANCE_SIZE);
    assert_int_equal(counter_next(&membership->seal_counter, site_store(play->mn), site_clock(play->site),
                                  &out->context.counter, &why),
                     RESULT_OK);
    memcpy(out->context.boot, membership->seal_counter.boot, BOOT_SIZE);
    assert_int_equal(dispatch_store_request(relay, id, arena, &out->request, &why), RESULT_OK);
    for (const struct dispatch *dispatch = relay->dispatches.first; dispatch != NULL;
         dispatch = dispatch->next) {
        if (memcmp(dispatch->id, id, COMMAND_ID_SIZE) == 0) {
            out->seal_expires_ms = dispatch->seal_expires_ms;
        }
    }
}

struct buffer play_forge(const struct forgery *forgery)
{
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    Groupseal__Envelope__Command command = GROUPSEAL__ENVELOPE__COMMAND__INIT;
    command.order = forgery->request->order;
    command.body = forgery->request->body;
    command.seal_expires_ms = forgery->seal_expires_ms;
    command.wanted = forgery->wanted_added_after_sealing ? command.wanted : arena_field(forgery->wanted);
    assert_int_equal(command_hash(&command, forgery->context.instance, forgery->context.incarnation, hash),
                     RESULT_OK);
    command.wanted = arena_field(forgery->wanted);
    struct seal_context signed_context = forgery->context;
    signed_context.kind = GROUPSEAL__ENVELOPE__KIND__KIND_COMMAND;
    signed_context.ae = "";
    assert_int_equal((forgery->relay_commands ? seal_order_sign : seal_sign)(
                         &signed_context, command.seal_expires_ms, hash, &forgery->relay, signature),
                     RESULT_OK);
    command.seal_signature = arena_field(BYTES_OF(signature));
    if (forgery->order_altered_after_sealing) {
        command.order->expires_ms++;
    }
    assert_int_equal(message_pack(&command.base, &packed), RESULT_OK);
    assert_int_equal(
        seal_message(&forgery->context, forgery->aead, &forgery->epoch_key, buffer_bytes(&packed), &payload),
        RESULT_OK);
    buffer_clear(&packed);
    return payload;
}

Groupseal__Secenv__Code play_hear(struct site_node *node, Groupseal__Secenv__TopicKind kind,
                                  const char *sender, struct bytes payload, bool retained)
{
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = (char *)PLAY_SITE;
    publish.group = (char *)PLAY_GROUP;
    publish.kind = kind;
    publish.sender = (char *)sender;
    publish.payload = arena_field(payload);
    return site_hear(node, &publish, retained);
}
