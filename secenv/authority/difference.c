/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/difference.h"

#include "secenv/authority/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum result departure_read(void *context, const struct store_row *row, struct reason *why)
{
    struct difference *difference = context;
    int64_t index = row_int(row, 0);
    if (index < 0 || index >= (int64_t)MEMBERS_LIMIT) {
        return result_fail(why, RESULT_STORE, "a leaf's row is damaged");
    }
    if (difference->departure_count == CHANGE_LIMIT) {
        difference->more = difference->leaving = true;
        return RESULT_OK;
    }
    struct departure *departure = &difference->departures[difference->departure_count++];
    *departure = (struct departure){.serial = row_u64(row, 1), .index = (uint32_t)index};
    (void)snprintf(departure->name, sizeof(departure->name), "%s", row_text(row, 2));
    return RESULT_OK;
}

static enum result arrival_read(void *context, const struct store_row *row, struct reason *why)
{
    struct difference *difference = context;
    struct bytes association = row_bytes(row, 2);
    struct bytes key = row_bytes(row, 7);
    if (association.length != ASSOCIATION_ID_SIZE || key.length != VERIFY_KEY_SIZE) {
        return result_fail(why, RESULT_STORE, "a member's row is damaged");
    }
    if (difference->arrival_count == CHANGE_LIMIT) {
        difference->more = true;
        return RESULT_OK;
    }
    struct arrival *arrival = &difference->arrivals[difference->arrival_count++];
    struct leaf *leaf = &arrival->leaf;
    memcpy(arrival->association, association.data, ASSOCIATION_ID_SIZE);
    arrival->placed = row_int(row, 3) >= 0;
    *leaf = (struct leaf){.member_id = row_int(row, 0),
                          .index = arrival->placed ? (uint32_t)row_int(row, 3) : 0,
                          .kind = (enum identity_kind)row_int(row, 4),
                          .serial = row_u64(row, 1)};
    (void)snprintf(leaf->name, sizeof(leaf->name), "%s", row_text(row, 5));
    (void)snprintf(leaf->site, sizeof(leaf->site), "%s", row_text(row, 6));
    memcpy(leaf->signing_key, key.data, VERIFY_KEY_SIZE);
    return RESULT_OK;
}

#define DEPARTURES                                                                                           \
    "SELECT l.leaf_index, l.serial, m.name FROM leaf l JOIN member m ON m.id = l.member_id"                  \
    " WHERE l.group_id = ? AND NOT EXISTS (SELECT 1 FROM group_candidate c WHERE"                            \
    " c.group_id = l.group_id AND c.member_id = l.member_id AND c.state = 2)"
#define ARRIVALS                                                                                             \
    "SELECT m.id, m.serial, m.association, coalesce(l.leaf_index, -1), m.kind, m.name, m.site,"              \
    " m.signing_key FROM group_candidate c JOIN member m ON m.id = c.member_id"                              \
    " LEFT JOIN leaf l ON l.group_id = c.group_id AND l.member_id = m.id"                                    \
    " WHERE c.group_id = ? AND c.state = 2 AND (l.member_id IS NULL OR l.association <> m.association)"

static enum result everybody_load(struct engine *engine, const struct group *group, struct difference *out,
                                  struct reason *why)
{
    GUARD(store_query(engine->store, why, departure_read, out, DEPARTURES " ORDER BY l.leaf_index LIMIT ?",
                      "ii", group->id, (int64_t)CHANGE_LIMIT + 1));
    return store_query(engine->store, why, arrival_read, out, ARRIVALS " ORDER BY m.id LIMIT ?", "ii",
                       group->id, (int64_t)CHANGE_LIMIT + 1);
}

static int id_compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* In order, each once. */
static void marked_settle(struct group *group)
{
    size_t kept = 0;
    if (group->marked_count > 1) {
        qsort(group->marked, group->marked_count, sizeof(*group->marked), id_compare);
    }
    for (size_t i = 0; i < group->marked_count; i++) {
        if (kept == 0 || group->marked[kept - 1] != group->marked[i]) {
            group->marked[kept++] = group->marked[i];
        }
    }
    group->marked_count = kept;
}

static enum result marked_load(struct engine *engine, struct group *group, struct difference *out,
                               struct reason *why)
{
    marked_settle(group);
    while (out->looked < group->marked_count) {
        if (out->arrival_count == CHANGE_LIMIT || out->departure_count == CHANGE_LIMIT) {
            out->more = out->leaving = true;
            return RESULT_OK;
        }
        int64_t member_id = group->marked[out->looked++];
        GUARD(store_query(engine->store, why, departure_read, out, DEPARTURES " AND l.member_id = ?", "ii",
                          group->id, member_id));
        GUARD(store_query(engine->store, why, arrival_read, out, ARRIVALS " AND m.id = ?", "ii", group->id,
                          member_id));
    }
    return RESULT_OK;
}

enum result difference_load(struct engine *engine, struct group *group, struct arena *arena,
                            struct difference *out, struct reason *why)
{
    bool few = !group->look_at_all && group->marked_count < CHANGE_LIMIT;
    size_t room = few ? group->marked_count + 1 : CHANGE_LIMIT;
    out->arrivals = arena_alloc(arena, room * sizeof(*out->arrivals));
    out->departures = arena_alloc(arena, room * sizeof(*out->departures));
    if (out->arrivals == NULL || out->departures == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a change of group %s", group->name);
    }
    return group->look_at_all ? everybody_load(engine, group, out, why)
                              : marked_load(engine, group, out, why);
}

void difference_done(const struct difference *difference, struct group *group)
{
    /* Of all that were looked for, what is more than a full tree has room for only comes, too. */
    bool more = difference->more && !(group->look_at_all && difference->full);
    group->look_at_all = group->look_at_all && more;
    if (difference->full) {
        group->crowded = true;
    } else if (group->crowded && difference->departure_count > 0) {
        group->crowded = false;
        group->look_at_all = more = true;
    }
    if (difference->looked > 0) {
        group->marked_count -= difference->looked;
        memmove(group->marked, group->marked + difference->looked,
                group->marked_count * sizeof(*group->marked));
    }
    group->due = more;
    group->leaving = more && difference->leaving;
}

/* The index of a leaf that leaves in this very change can be given away: its secret is replaced. */
static struct departure *departure_open(struct difference *difference, size_t *from)
{
    while (*from < difference->departure_count) {
        struct departure *departure = &difference->departures[(*from)++];
        if (!departure->reused) {
            return departure;
        }
    }
    return NULL;
}

/* False: there is no room for it. */
static bool arrival_place(struct difference *difference, struct tree *tree, size_t *departures,
                          uint32_t *next, struct arrival *arrival)
{
    if (arrival->placed) {
        return true;
    }
    struct departure *departure = departure_open(difference, departures);
    if (departure != NULL) {
        departure->reused = true;
        arrival->leaf.index = departure->index;
        return true;
    }
    *next = tree_free_leaf(tree, *next);
    arrival->leaf.index = *next;
    return (*next)++ < MEMBERS_LIMIT;
}

enum result difference_place(struct difference *difference, struct tree *tree)
{
    size_t departures = 0;
    size_t kept = 0;
    uint32_t next = 0;
    for (size_t i = 0; i < difference->arrival_count; i++) {
        struct arrival *arrival = &difference->arrivals[i];
        if (!arrival_place(difference, tree, &departures, &next, arrival)) {
            difference->full = true;
            continue;
        }
        GUARD(random_bytes(arrival->secret.data, SECRET_SIZE));
        difference->arrivals[kept++] = *arrival;
    }
    difference->arrival_count = kept;
    return RESULT_OK;
}

enum result difference_apply(const struct difference *difference, bool rotate, struct tree *tree,
                             struct arena *arena, struct tree_place **touched, size_t *touched_count,
                             struct reason *why)
{
    size_t most = difference->departure_count + difference->arrival_count;
    size_t places = (most + 1) * (TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS);
    struct tree_leaf_change *changes = arena_alloc(arena, (most + 1) * sizeof(*changes));
    *touched = arena_alloc(arena, places * sizeof(**touched));
    size_t count = 0;
    if (changes == NULL || *touched == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < difference->departure_count; i++) {
        if (!difference->departures[i].reused) {
            changes[count++].index = difference->departures[i].index;
        }
    }
    for (size_t i = 0; i < difference->arrival_count; i++) {
        const struct arrival *arrival = &difference->arrivals[i];
        changes[count++] = (struct tree_leaf_change){
            .index = arrival->leaf.index, .occupied = true, .secret = arrival->secret};
    }
    return tree_change(tree, changes, count, rotate, *touched, places, touched_count, why);
}
