/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/packed.h"
#include "tests/attack/attack.h"

struct counts counts_now(void)
{
    struct counts now;
    for (size_t i = 0; i < AUDIT_COUNT; i++) {
        now.values[i] = audit_value((enum audit_counter)i);
    }
    return now;
}

uint64_t counts_since(const struct counts *before, enum audit_counter counter)
{
    return audit_value(counter) - before->values[counter];
}

/* ---- what the attacker has ---- */

void insider_take(struct play *play, struct site_node *node, const char *group, struct insider *out)
{
    const struct membership *membership = play_membership(node, group);
    *out = (struct insider){.epoch_key = membership->current.secret,
                            .aead = (enum aead)membership_policy(membership)->aead,
                            .signing = membership->identity->signing};
    (void)snprintf(out->site, sizeof(out->site), "%s", membership->sites[0].site);
    (void)snprintf(out->name, sizeof(out->name), "%s", site_name(node));
    out->context = (struct seal_context){.incarnation = membership->incarnation,
                                         .site = out->site,
                                         .kind = KIND(MESSAGE),
                                         .ae = out->name,
                                         .epoch = membership->current.epoch,
                                         .serial = membership->serial,
                                         .counter = clock_wall_us(site_clock(play->site)) + 1000000u};
    memcpy(out->context.instance, membership->instance, INSTANCE_SIZE);
    memset(out->context.boot, 0x5a, BOOT_SIZE);
}

void insider_open(const struct insider *insider, const Groupseal__Secenv__Publish *publish,
                  struct arena *arena, struct seal_context *context, struct bytes *plaintext)
{
    Groupseal__Envelope__Sealed *sealed = NULL;
    struct buffer opened = BUFFER_EMPTY(OBJECT_LIMIT);
    struct reason why;
    assert_int_equal(seal_parse(arena_view(publish->payload), arena, &sealed, &why), RESULT_OK);
    *context = insider->context;
    context->site = publish->site;
    context->kind = sealed->kind;
    context->ae = publish->sender;
    context->epoch = sealed->epoch;
    context->serial = sealed->serial;
    context->counter = sealed->counter;
    memcpy(context->boot, sealed->boot.data, BOOT_SIZE);
    assert_int_equal(
        seal_open(context, insider->aead, &insider->epoch_key, arena_view(sealed->ciphertext), &opened),
        RESULT_OK);
    *plaintext = (struct bytes){arena_copy(arena, buffer_bytes(&opened)), opened.length};
    assert_non_null(plaintext->data);
    buffer_clear(&opened);
}

struct buffer insider_seal(const struct insider *insider, const struct seal_context *context,
                           struct bytes plaintext)
{
    struct buffer payload = BUFFER_EMPTY(OBJECT_LIMIT);
    assert_int_equal(seal_message(context, insider->aead, &insider->epoch_key, plaintext, &payload),
                     RESULT_OK);
    return payload;
}

struct buffer insider_statement(const struct insider *insider, const struct seal_context *context,
                                const uint8_t *receipt_id)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    uint8_t hash[HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    uint8_t nonce[NONCE_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};
    if (context->kind == KIND(MESSAGE)) {
        Groupseal__Envelope__MemberMessage message = GROUPSEAL__ENVELOPE__MEMBER_MESSAGE__INIT;
        message.body = arena_field(bytes_of_text("fire"));
        assert_int_equal(hash_bytes(bytes_of_text("fire"), hash), RESULT_OK);
        assert_int_equal(said_sign(context, hash, &insider->signing, signature), RESULT_OK);
        message.signature = arena_field(BYTES_OF(signature));
        assert_int_equal(message_pack(&message.base, &packed), RESULT_OK);
        return packed;
    }
    Groupseal__Envelope__Ack ack = GROUPSEAL__ENVELOPE__ACK__INIT;
    Groupseal__Envelope__Receipt receipt = GROUPSEAL__ENVELOPE__RECEIPT__INIT;
    Groupseal__Envelope__SyncRequest request = GROUPSEAL__ENVELOPE__SYNC_REQUEST__INIT;
    if (receipt_id != NULL) {
        receipt.command_id = arena_field((struct bytes){receipt_id, COMMAND_ID_SIZE});
        receipt.outcome = GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_DONE;
        ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_RECEIPT;
        ack.receipt = &receipt;
    } else {
        request.nonce = arena_field(BYTES_OF(nonce));
        ack.content_case = GROUPSEAL__ENVELOPE__ACK__CONTENT_SYNC_REQUEST;
        ack.sync_request = &request;
    }
    assert_int_equal(ack_hash(&ack, hash), RESULT_OK);
    assert_int_equal(said_sign(context, hash, &insider->signing, signature), RESULT_OK);
    ack.signature = arena_field(BYTES_OF(signature));
    assert_int_equal(message_pack(&ack.base, &packed), RESULT_OK);
    return packed;
}

/* ---- publishes ---- */

Groupseal__Secenv__Publish publish_of(Groupseal__Secenv__TopicKind kind, const char *sender,
                                      struct bytes payload)
{
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = (char *)(uintptr_t)PLAY_SITE;
    publish.group = (char *)(uintptr_t)PLAY_GROUP;
    publish.kind = kind;
    publish.sender = (char *)(uintptr_t)sender;
    publish.payload = arena_field(payload);
    return publish;
}

Groupseal__Secenv__Publish *publish_keep(const Groupseal__Secenv__Publish *publish)
{
    size_t size = groupseal__secenv__publish__get_packed_size(publish);
    uint8_t *packed = malloc(size + 1);
    assert_non_null(packed);
    (void)groupseal__secenv__publish__pack(publish, packed);
    Groupseal__Secenv__Publish *copy = groupseal__secenv__publish__unpack(NULL, size, packed);
    free(packed);
    assert_non_null(copy);
    return copy;
}

void publish_drop(Groupseal__Secenv__Publish *publish)
{
    groupseal__secenv__publish__free_unpacked(publish, NULL);
}

/* ---- what comes of it ---- */

size_t given(const struct site_node *node)
{
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        Groupseal__Secenv__Event__ContentCase content = site_event(node, i)->content_case;
        count += content == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND ||
                 content == GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE;
    }
    return count;
}

static Groupseal__Secenv__Reply *hear(struct site_node *node, const Groupseal__Secenv__Publish *publish,
                                      bool retained)
{
    Groupseal__Secenv__Heard content = GROUPSEAL__SECENV__HEARD__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = (char *)(uintptr_t)site_name(node);
    content.site = publish->site;
    content.group = publish->group;
    content.kind = publish->kind;
    content.sender = publish->sender;
    content.row = publish->row;
    content.column = publish->column;
    content.retained = retained;
    content.payload = publish->payload;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    request.heard = &content;
    return site_request(node, SOCKET_OWNER, 1, &request);
}

void attack_is_refused(struct site_node *node, const Groupseal__Secenv__Publish *publish, bool retained,
                       enum audit_counter counter, const char *words)
{
    uint8_t before[32];
    uint8_t after[32];
    struct counts counts = counts_now();
    size_t had = given(node);
    site_digest(node, before);
    Groupseal__Secenv__Reply *reply = hear(node, publish, retained);
    site_digest(node, after);
    if (reply->code == CODE(OK) || strstr(reply->reason, words) == NULL) {
        fail_msg("expected a refusal with \"%s\", got code %d, \"%s\"", words, (int)reply->code,
                 reply->reason);
    }
    if (counts_since(&counts, counter) != 1) {
        fail_msg("refused (%s), but %s has risen by %u", reply->reason, audit_name(counter),
                 (unsigned)counts_since(&counts, counter));
    }
    site_reply_free(reply);
    assert_memory_equal(before, after, 32);
    assert_int_equal(given(node), had);
}

void twin_is_taken(struct site_node *node, const Groupseal__Secenv__Publish *publish, bool retained)
{
    Groupseal__Secenv__Reply *reply = hear(node, publish, retained);
    if (reply->code != CODE(OK)) {
        fail_msg("the twin is refused: code %d, %s", (int)reply->code, reply->reason);
    }
    site_reply_free(reply);
}

void attack_changes_nothing(struct site_node *node, const Groupseal__Secenv__Publish *publish, bool retained)
{
    uint8_t before[32];
    uint8_t after[32];
    size_t had = given(node);
    site_digest(node, before);
    site_reply_free(hear(node, publish, retained));
    site_digest(node, after);
    if (memcmp(before, after, 32) != 0 || given(node) != had) {
        fail_msg("a message on topic kind %d of %s, heard by %s, has changed something", (int)publish->kind,
                 publish->sender, site_name(node));
    }
}
