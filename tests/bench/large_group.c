/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/large_group.h"

#include "secenv/authority/authority.h"
#include "secenv/progress.h"
#include "secenv/store_internal.h"
#include "tests/bench/large_key.h"
#include "tests/unit/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRIDE 1024u /* members that come at once */
#define ADDED_AT_ONCE 64u
#define EVICTED_AT_ONCE 1024u
#define FUNCTION "door"

static void expect(bool holds, const char *what, const struct reason *why)
{
    if (!holds) {
        (void)fprintf(stderr, "%s: %s\n", what, why != NULL ? why->text : "it failed");
        exit(1);
    }
}

static struct engine *engine_of(const struct large_group *large)
{
    return site_engine(site_authority(large->site));
}

static struct store *store_of(const struct large_group *large)
{
    return site_store(site_authority(large->site));
}

/* ---- open and close ---- */

static void mn_name(size_t number, char out[NAME_LIMIT + 1])
{
    (void)snprintf(out, NAME_LIMIT + 1, "//sp.example/mn-%zu", number + 1);
}

static void group_create_at(struct large_group *large)
{
    static char names[LARGE_SITES_LIMIT][NAME_LIMIT + 1];
    char *sites[LARGE_SITES_LIMIT];
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    for (size_t i = 0; i < large->site_count; i++) {
        mn_name(i, names[i]);
        sites[i] = names[i];
    }
    group.name = (char *)(uintptr_t)LARGE_GROUP;
    group.function = (char *)(uintptr_t)FUNCTION;
    group.sites = sites;
    group.n_sites = large->site_count;
    group.authority_only = 1;
    expect(operator_create(large->site, &group) == GROUPSEAL__SECENV__CODE__OK, "the group", NULL);
}

void large_group_open(struct large_group *large)
{
    large_group_open_sites(large, 1);
}

void large_group_open_sites(struct large_group *large, size_t sites)
{
    char name[NAME_LIMIT + 1];
    *large = (struct large_group){.site = site_new(), .site_count = sites};
    expect(sites >= 1 && sites <= LARGE_SITES_LIMIT, "so many sites", NULL);
    for (size_t i = 0; i < sites; i++) {
        mn_name(i, name);
        (void)site_join(large->site, name, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    }
    large->mn = large_group_mn(large, 0);
    group_create_at(large);
    site_settle(large->site);
}

struct site_node *large_group_mn(const struct large_group *large, size_t number)
{
    char name[NAME_LIMIT + 1];
    mn_name(number, name);
    return site_find(large->site, name);
}

void large_group_close(struct large_group *large)
{
    site_free(large->site);
    large->site = NULL;
}

struct site_node *large_group_device(struct large_group *large, size_t number)
{
    char name[NAME_LIMIT + 1];
    (void)snprintf(name, sizeof(name), "//sp.example/Sdevice%03zu", number);
    struct site_node *device =
        site_join(large->site, name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, FUNCTION);
    site_advance(large->site, 10000);
    return device;
}

/* ---- members without an engine ---- */

void large_group_name(size_t number, char out[NAME_LIMIT + 1])
{
    (void)snprintf(out, NAME_LIMIT + 1, "//sp.example/Smember%07zu", number);
}

void large_group_key(size_t number, struct signing_key *out)
{
    struct secret seed = {{1}};
    memcpy(&seed.data[1], &number, sizeof(number));
    expect(signing_key_from_seed(&seed, out) == RESULT_OK, "a signing key", NULL);
}

struct bulk_member {
    Groupseal__Secenv__NewMember row;
    char name[NAME_LIMIT + 1];
    char site[NAME_LIMIT + 1];
    char *functions[1];
};

static void bulk_add(struct large_group *large, size_t first, size_t count, struct reason *why)
{
    static struct bulk_member members[ADDED_AT_ONCE];
    Groupseal__Secenv__NewMember *rows[ADDED_AT_ONCE];
    Groupseal__Secenv__MemberAdd request = GROUPSEAL__SECENV__MEMBER_ADD__INIT;
    for (size_t i = 0; i < count; i++) {
        struct bulk_member *member = &members[i];
        large_group_name(first + i, member->name);
        groupseal__secenv__new_member__init(&member->row);
        member->row.name = member->name;
        member->row.kind = GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_ADN_AE;
        member->row.mode = GROUPSEAL__SECENV__MODE__MODE_CERT;
        mn_name((first + i) % (large->site_count != 0 ? large->site_count : 1), member->site);
        member->row.site = member->site;
        member->functions[0] = (char *)(uintptr_t)FUNCTION;
        member->row.functions = member->functions;
        member->row.n_functions = 1;
        rows[i] = &member->row;
    }
    request.members = rows;
    request.n_members = count;
    expect(member_add(engine_of(large), &request, why) == RESULT_OK, "adding members", why);
}

/* As after a handshake that has ended well. */
static void bulk_associate(struct large_group *large, const char *name, const uint8_t id[ASSOCIATION_ID_SIZE],
                           struct reason *why)
{
    struct engine *engine = engine_of(large);
    struct association association;
    struct agreement agreement = {.mode = CREDENTIALS_CERT, .mechanism = MECHANISM_WRAP};
    memcpy(agreement.id, id, ASSOCIATION_ID_SIZE);
    memcpy(agreement.key.data, id, ASSOCIATION_ID_SIZE);
    association_init(&association, ASSOCIATION_AUTHORITY, ASSOCIATION_CURRENT, name, engine->identity.name,
                     &agreement, clock_wall_ms(engine->clock));
    expect(association_save(&association, engine->store, why) == RESULT_OK &&
               peers_set(&engine->peers, &association, clock_monotonic_us(engine->clock), why) == RESULT_OK,
           "an association", why);
}

static void bulk_present(struct large_group *large, size_t number, struct reason *why)
{
    char name[NAME_LIMIT + 1];
    struct member member;
    uint8_t association[ASSOCIATION_ID_SIZE];
    uint8_t key[VERIFY_KEY_SIZE];
    large_group_name(number, name);
    if (large->can_sign) {
        struct signing_key signing;
        large_group_key(number, &signing);
        memcpy(key, signing.public_key, sizeof(key));
    } else {
        expect(random_bytes(key, sizeof(key)) == RESULT_OK, "a signing key", NULL);
    }
    bool done = random_bytes(association, sizeof(association)) == RESULT_OK &&
                member_find(store_of(large), name, &member, why) == RESULT_OK &&
                member_present(engine_of(large), &member, association, key, why) == RESULT_OK;
    expect(done, "a member's arrival", why);
    if (large->associated) {
        bulk_associate(large, name, association, why);
    }
}

/* What was put into their outbox is taken. */
static void bulk_accept(struct large_group *large, size_t first, size_t count, struct reason *why)
{
    const struct engine *engine = engine_of(large);
    char name[NAME_LIMIT + 1];
    expect(store_begin(store_of(large), why) == RESULT_OK, "begin", why);
    for (size_t i = 0; i < count; i++) {
        large_group_name(first + i, name);
        expect(outbox_drop_peer(engine->outbox, engine->identity.name, name, why) == RESULT_OK, "outbox",
               why);
        expect(store_run(store_of(large), why,
                         "UPDATE leaf SET package_taken = 1 WHERE member_id IN"
                         " (SELECT id FROM member WHERE name = ?)",
                         "t", name) == RESULT_OK,
               "leaves", why);
    }
    expect(store_commit(store_of(large), why) == RESULT_OK, "commit", why);
}

static void mns_forget(const struct large_group *large)
{
    for (size_t i = 0; i < large->site_count; i++) {
        site_events_clear(large_group_mn(large, i));
    }
}

static void bulk_come(struct large_group *large, size_t count)
{
    struct reason why = {""};
    size_t first = large->bulk;
    expect(store_begin(store_of(large), &why) == RESULT_OK, "begin", &why);
    for (size_t done = 0; done < count; done += ADDED_AT_ONCE) {
        size_t some = count - done < ADDED_AT_ONCE ? count - done : ADDED_AT_ONCE;
        bulk_add(large, first + done, some, &why);
    }
    for (size_t i = 0; i < count; i++) {
        bulk_present(large, first + i, &why);
    }
    expect(store_commit(store_of(large), &why) == RESULT_OK, "commit", &why);
    site_online(site_authority(large->site), true); /* a turn */
    site_advance(large->site, 1000);
    bulk_accept(large, first, count, &why);
    site_events_clear(site_authority(large->site));
    mns_forget(large);
    large->bulk += count;
}

void large_group_fill(struct large_group *large, size_t count)
{
    size_t wanted = large->bulk + count;
    size_t before = large->bulk;
    struct progress progress;
    progress_begin(&progress, "members of the group", count);
    while (large->bulk < wanted) {
        bulk_come(large, wanted - large->bulk < STRIDE ? wanted - large->bulk : STRIDE);
        progress_step(&progress, large->bulk - before);
    }
}

/* Whether a commit waits for the disk. */
static void store_wait(struct store *store, bool wait)
{
    const char *sql = wait ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF";
    expect(sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK, sql, NULL);
}

void large_group_hurry(struct large_group *large, bool hurry)
{
    store_wait(store_of(large), !hurry);
    store_wait(site_store(large->mn), !hurry);
}

void large_group_build(struct large_group *large, size_t count)
{
    large_group_hurry(large, true);
    site_online(large->mn, false);
    large_group_fill(large, count);
    site_online(large->mn, true);
    site_advance(large->site, 60000);
    large_group_hurry(large, false);
}

/* ---- looking ---- */

static enum result number_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(uint64_t *)context = row_u64(row, 0);
    return RESULT_OK;
}

static uint64_t number_of(struct large_group *large, const char *sql)
{
    struct reason why = {""};
    uint64_t number = 0;
    expect(store_query(store_of(large), &why, number_read, &number, sql, "") == RESULT_OK, sql, &why);
    return number;
}

size_t large_group_count(struct large_group *large)
{
    return (size_t)number_of(large, "SELECT count(*) FROM leaf");
}

static enum result name_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    (void)snprintf(context, NAME_LIMIT + 1, "%s", row_text(row, 0));
    return RESULT_OK;
}

void large_group_member_at(struct large_group *large, uint32_t leaf_index, char out[NAME_LIMIT + 1])
{
    struct reason why = {""};
    out[0] = '\0';
    bool read = store_query(store_of(large), &why, name_read, out,
                            "SELECT m.name FROM leaf l JOIN member m ON m.id = l.member_id"
                            " WHERE l.leaf_index = ?",
                            "i", (int64_t)leaf_index) == RESULT_OK;
    expect(read && out[0] != '\0', "a leaf's member", &why);
}

uint64_t large_group_tree_bytes(struct large_group *large)
{
    return number_of(large, "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE AND name IN"
                            " ('tree_page', 'tree_block', 'tree_block_epoch')");
}

uint64_t large_group_store_bytes(struct large_group *large)
{
    return number_of(large, "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE");
}

/* ---- evictions ---- */

uint64_t large_group_evict(struct large_group *large, char (*names)[NAME_LIMIT + 1], size_t count)
{
    uint64_t before_us = site_cpu_us(site_authority(large->site));
    for (size_t done = 0; done < count; done += EVICTED_AT_ONCE) {
        const char *some[EVICTED_AT_ONCE];
        size_t at_once = count - done < EVICTED_AT_ONCE ? count - done : EVICTED_AT_ONCE;
        for (size_t i = 0; i < at_once; i++) {
            some[i] = names[done + i];
        }
        expect(operator_evict_all(large->site, some, at_once) == GROUPSEAL__SECENV__CODE__OK, "evictions",
               NULL);
    }
    uint64_t after_us = site_cpu_us(site_authority(large->site));
    site_advance(large->site, 1000);
    site_events_clear(site_authority(large->site));
    mns_forget(large);
    return after_us - before_us;
}

bool large_group_has_key(const struct large_group *large, struct site_node *device)
{
    return large_key_same(large->mn, device, LARGE_GROUP);
}
