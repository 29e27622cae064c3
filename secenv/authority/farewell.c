/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/farewell.h"

#include "secenv/authority/authority.h"

#include <stdlib.h>

#define WHY_INCARNATION 4u /* in REAUTHENTICATE */

static enum result farewell_keep(struct farewells *farewells, const struct member *member,
                                 struct bytes packed, struct reason *why)
{
    if (farewells->count == FAREWELLS_LIMIT) {
        return RESULT_OK; /* it finds out by itself */
    }
    struct farewell_kept *farewell = calloc(1, sizeof(*farewell));
    if (farewell == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a farewell");
    }
    farewell->member = *member;
    farewell->object = BUFFER_EMPTY(OBJECT_LIMIT);
    farewells->kept[farewells->count++] = farewell;
    return buffer_append(&farewell->object, packed);
}

/* The association's last word: nothing is sealed in it after this. */
static enum result word_say(struct engine *engine, const struct member *member,
                            struct association *association, Groupseal__Envelope__RecordBody *body,
                            struct arena *arena, struct reason *why)
{
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    struct bytes packed;
    if (association == NULL) {
        return RESULT_OK;
    }
    body->floor = engine->incarnation;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    GUARD(association_seal(association, engine->store, engine->clock, body, arena, &object.record, why));
    GUARD(carriage_pack(&object, arena, &packed));
    return engine->online ? ferry_send(engine, member, packed)
                          : farewell_keep(&engine->farewells, member, packed, why);
}

void left_fill(struct left_word *word, const struct group *group, bool deleted)
{
    groupseal__envelope__left__init(&word->left);
    groupseal__envelope__record_body__init(&word->body);
    word->left.group = (char *)(uintptr_t)group->name;
    word->left.instance = arena_field(BYTES_OF(group->instance));
    word->left.incarnation = group->incarnation;
    word->left.epoch = group->epoch;
    word->left.deleted = deleted;
    word->body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_LEFT;
    word->body.left = &word->left;
}

static enum result left_say(struct engine *engine, const struct member *member, const struct peer *peer,
                            const struct group *group, struct arena *arena, struct reason *why)
{
    struct left_word word;
    left_fill(&word, group, false);
    GUARD(word_say(engine, member, peer->current, &word.body, arena, why));
    return word_say(engine, member, peer->pending, &word.body, arena, why); /* which it has is not known */
}

enum result farewell_say(struct engine *engine, const char *name, struct arena *arena, struct reason *why)
{
    struct member member;
    const struct peer *peer = peers_find(&engine->peers, name);
    if (peer == NULL || peer->current == NULL) {
        return RESULT_OK;
    }
    GUARD(member_find(engine->store, name, &member, why));
    for (size_t i = 0; i < engine->groups.count; i++) {
        const struct group *group = engine->groups.items[i];
        bool in = false;
        GUARD(store_find(engine->store, why, &in, "SELECT 1 FROM leaf WHERE group_id = ? AND member_id = ?",
                         "ii", group->id, member.id));
        if (in) {
            GUARD(left_say(engine, &member, peer, group, arena, why));
        }
    }
    return RESULT_OK;
}

enum result farewell_say_anew(struct engine *engine, const char *name, struct arena *arena,
                              struct reason *why)
{
    struct member member;
    const struct peer *peer = peers_find(&engine->peers, name);
    Groupseal__Envelope__Reauthenticate reauthenticate = GROUPSEAL__ENVELOPE__REAUTHENTICATE__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    GUARD(member_find(engine->store, name, &member, why));
    if (peer == NULL || member.kind != IDENTITY_MN_CSE) {
        return RESULT_OK;
    }
    reauthenticate.why = WHY_INCARNATION;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_REAUTHENTICATE;
    body.reauthenticate = &reauthenticate;
    GUARD(word_say(engine, &member, peer->current, &body, arena, why));
    return word_say(engine, &member, peer->pending, &body, arena, why);
}

enum result farewells_send(struct engine *engine)
{
    struct farewells *farewells = &engine->farewells;
    for (size_t i = 0; i < farewells->count; i++) {
        GUARD(ferry_send(engine, &farewells->kept[i]->member, buffer_bytes(&farewells->kept[i]->object)));
    }
    farewells_cut(farewells, 0);
    return RESULT_OK;
}

void farewells_cut(struct farewells *farewells, size_t count)
{
    while (farewells->count > count) {
        struct farewell_kept *farewell = farewells->kept[--farewells->count];
        buffer_clear(&farewell->object);
        free(farewell);
    }
}
