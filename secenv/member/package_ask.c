/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/package_ask.h"

#include <stdio.h>
#include <string.h>

#include "secenv/member/record.h"

#define SLOT_WORD "ask "
#define SLOT_SIZE (GROUP_NAME_LIMIT + 8u)
#define ANNOUNCEMENT_LIMIT 36864u /* a record has room for it, and more */

static void slot_name(const struct membership *membership, char out[SLOT_SIZE])
{
    (void)snprintf(out, SLOT_SIZE, SLOT_WORD "%s", membership->group);
}

/* ---- the newest announcement ---- */

static enum result stored_row(void *context, const struct store_row *row, struct reason *why)
{
    struct buffer *packed = context;
    if (buffer_append(packed, row_bytes(row, 0)) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "no memory for an announcement");
    }
    return RESULT_OK;
}

/* The one that waits is newer than the one that was climbed to. Empty where there is none. */
static enum result newest_read(const struct membership *membership, struct buffer *packed, struct reason *why)
{
    const struct identity_state *identity = membership->identity;
    if (membership->waiting.present) {
        return buffer_append(packed, buffer_bytes(&membership->waiting_news));
    }
    return store_query(identity->engine->setup.store, why, stored_row, packed,
                       "SELECT announcement FROM membership WHERE identity = ? AND grp = ?", "tt",
                       identity->identity.name, membership->group);
}

static enum result ask_put(struct membership *membership, Groupseal__Envelope__Announcement *newest,
                           struct reason *why)
{
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    char slot[SLOT_SIZE];
    ask.group = membership->group;
    ask.instance = arena_field(BYTES_OF(membership->instance));
    ask.epoch = membership->current.present ? membership->current.epoch : 0;
    ask.newest = newest;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    slot_name(membership, slot);
    enum result result = record_put(membership->identity, slot, &body, why);
    return result == RESULT_FULL ? RESULT_OK : result; /* whoever asks asks again */
}

enum result package_ask(struct membership *membership, struct reason *why)
{
    struct buffer packed = BUFFER_EMPTY(OBJECT_LIMIT);
    Groupseal__Envelope__Announcement *newest = NULL;
    membership->package_asked_us = engine_now_us(membership->identity->engine);
    enum result result = newest_read(membership, &packed, why);
    if (result == RESULT_OK && packed.length != 0 && packed.length <= ANNOUNCEMENT_LIMIT) {
        newest = groupseal__envelope__announcement__unpack(NULL, packed.length, packed.data);
    }
    if (result == RESULT_OK) {
        result = ask_put(membership, newest, why);
    }
    groupseal__envelope__announcement__free_unpacked(newest, NULL);
    buffer_clear(&packed);
    return result;
}

/* ---- its end ---- */

enum result package_ask_drop(const struct membership *membership, struct reason *why)
{
    const struct identity_state *identity = membership->identity;
    char slot[SLOT_SIZE];
    slot_name(membership, slot);
    return outbox_drop_slot(identity->engine->outbox, identity->identity.name, identity->identity.authority,
                            slot, why);
}

enum result package_ask_unknown(struct identity_state *identity, const char *slot, struct reason *why)
{
    if (strncmp(slot, SLOT_WORD, strlen(SLOT_WORD)) != 0) {
        return RESULT_OK;
    }
    struct membership *membership = membership_find(identity, slot + strlen(SLOT_WORD));
    return membership == NULL || identity_is_relay(identity) ? RESULT_OK
                                                             : membership_end_unknown(membership, why);
}
