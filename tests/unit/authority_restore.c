/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/objects/object.h"
#include "tests/unit/operator.h"

/*
 * The authority's store directory is put back to an older copy, beside real members: one was evicted, one
 * joined and the key was rotated since. The evictions file is kept, as docs/operations.md says.
 */
#define DOOR_1 "//sp.example/Sdoor1"
#define DOOR_2 "//sp.example/Sdoor2"
#define DOOR_3 "//sp.example/Sdoor3"
#define OK GROUPSEAL__SECENV__CODE__OK
#define NOTICE GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE

/* As the plugin does it: group topics are for those in the roster. What is empty on `epoch` is for all. */
static enum site_fate roster_decides(void *context, const struct site_message *message)
{
    struct site *site = context;
    if (message->what != SITE_PUBLISH) {
        return SITE_DELIVER;
    }
    const char *device = strcmp(message->to, SITE_MN_CSE) == 0 ? message->from : message->to;
    bool cleared =
        message->publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH && message->payload.length == 0;
    return cleared || site_in_roster(site_find(site, SITE_MN_CSE), message->publish->group, device)
               ? SITE_DELIVER
               : SITE_DROP;
}

static int setup(void **state)
{
    struct site *site = site_new();
    site_carry(site, roster_decides, site);
    site_join(site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(site, "doors", "door", SITE_MN_CSE);
    site_join(site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_CERT, SITE_MN_CSE, "door");
    site_join(site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(site, 3000);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

/* `script` finds the paths in $1 and $2. */
static void shell(const char *script, const char *a, const char *b)
{
    char command[2000];
    (void)snprintf(command, sizeof(command), "set -e -- '%s' '%s'; %s", a, b, script);
    assert_int_equal(system(command), 0);
}

static void backup_name(struct site *site, const struct site_node *node, char out[400])
{
    const char *slash = strrchr(site_directory(node), '/');
    (void)snprintf(out, 400, "%s/backup-%s", site_scratch(site), slash + 1);
}

static void store_copy(struct site *site, struct site_node *node)
{
    char backup[400];
    backup_name(site, node, backup);
    site_close(node);
    shell("cp -a $1 $2", site_directory(node), backup);
    site_reopen(node);
    site_settle(site);
}

/* The node is closed then. */
static void store_put_back(struct site *site, struct site_node *node)
{
    char backup[400];
    backup_name(site, node, backup);
    site_close(node);
    shell("test ! -e $1/evictions || cp -p $1/evictions $2; rm -rf $1; cp -a $2 $1", site_directory(node),
          backup);
}

/* What the node itself says of the group. */
static uint64_t incarnation_of(struct site_node *node)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_AUDIT, 3, &request);
    assert_int_equal(reply->code, OK);
    const Groupseal__Secenv__IdentityStatus *identity = reply->status->identities[0];
    uint64_t incarnation = identity->n_groups == 1 ? identity->groups[0]->incarnation : 0;
    site_reply_free(reply);
    return incarnation;
}

static size_t commands(struct site *site, const char *name)
{
    struct site_node *node = site_find(site, name);
    size_t count = 0;
    for (size_t i = 0; i < site_event_count(node); i++) {
        count += site_event(node, i)->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND ? 1 : 0;
    }
    return count;
}

static Groupseal__Secenv__Code command_of(struct site *site, const char *group)
{
    Groupseal__Secenv__Reply *reply = operator_order(site, group, "close", NULL, 0, 0);
    Groupseal__Secenv__Code code = reply->code;
    site_reply_free(reply);
    site_advance(site, 3000);
    return code;
}

static Groupseal__Secenv__Code command(struct site *site)
{
    return command_of(site, "doors");
}

static bool was_told(const struct site_node *node, const char *words)
{
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        if (event->content_case == NOTICE && strstr(event->notice->text, words) != NULL) {
            return true;
        }
    }
    return false;
}

/* Since the backup: one evicted, one joined, a rotation. */
static void life_goes_on(struct site *site)
{
    assert_int_equal(operator_evict(site, DOOR_2), OK);
    site_advance(site, 3000);
    site_join(site, DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(site, 3000);
    assert_int_equal(operator_rotate(site, "doors"), OK);
    site_advance(site, 3000);
    assert_int_equal(command(site), OK);
    assert_int_equal(commands(site, DOOR_1), 1);
    assert_int_equal(commands(site, DOOR_2), 0);
    assert_int_equal(commands(site, DOOR_3), 1);
}

static void assert_begun_anew(struct site *site, uint64_t before)
{
    assert_int_equal(command(site), OK);
    assert_int_equal(commands(site, DOOR_1), 2);
    assert_int_equal(commands(site, DOOR_2), 0);
    assert_true(incarnation_of(site_find(site, DOOR_1)) > before);
    assert_int_equal(incarnation_of(site_find(site, SITE_MN_CSE)), incarnation_of(site_find(site, DOOR_1)));
    assert_int_equal(incarnation_of(site_find(site, DOOR_2)), 0);
}

static void authority_restored(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    store_copy(site, authority);
    life_goes_on(site);
    uint64_t before = incarnation_of(site_find(site, DOOR_1));

    store_put_back(site, authority);
    site_reopen(authority);
    site_advance(site, 5000);
    assert_true(was_told(authority, "was evicted, and this store did not know"));
    assert_true(was_told(authority, "restored from a backup"));
    assert_true(was_told(authority, "in-cse member confirm"));
    /* The site obeys nobody new, and the IN-CSE has nobody to command, until the operator's word. */
    site_advance(site, 300000);
    assert_int_equal(command(site), GROUPSEAL__SECENV__CODE__NOT_READY);
    assert_int_equal(incarnation_of(site_find(site, SITE_MN_CSE)), before);

    site_events_clear(authority);
    assert_int_equal(operator_confirm(site, "--all"), OK);
    assert_non_null(
        site_last_event(authority, GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE)); /* they hurry */
    site_advance(site, 700000); /* the longest back-off of the MN-CSE, then of the devices */
    assert_begun_anew(site, before);
    /* Who joined since is not in that roster: it keeps what nobody speaks any more, until it is added again.
     */
    assert_int_equal(commands(site, DOOR_3), 1);
    site_advance(site, 61000); /* that command was for all who hear of it in time */
    site_enrol(site, DOOR_3, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_advance(site, 700000);
    assert_int_equal(command(site), OK);
    assert_int_equal(commands(site, DOOR_3), 2);
    /* The next start begins nothing anew. */
    uint64_t after = incarnation_of(site_find(site, DOOR_1));
    site_restart(authority);
    site_advance(site, 5000);
    assert_int_equal(command(site), OK);
    assert_int_equal(incarnation_of(site_find(site, DOOR_1)), after);
}

/* The stores of all are put back, the MN-CSE's before the devices', so that its broker retains what it holds:
 * nothing is newer anywhere, and the evicted is out by the evictions file. */
static void everything_restored(void **state)
{
    struct site *site = *state;
    static const char *const names[] = {SITE_AUTHORITY, SITE_MN_CSE, DOOR_1, DOOR_2};
    const size_t count = sizeof(names) / sizeof(names[0]);
    for (size_t i = 0; i < count; i++) {
        store_copy(site, site_find(site, names[i]));
    }
    site_advance(site, 10000);
    life_goes_on(site);
    for (size_t i = 0; i < count; i++) {
        site_online(site_find(site, names[i]), false);
        store_put_back(site, site_find(site, names[i]));
    }
    for (size_t i = 0; i < count; i++) {
        site_reopen(site_find(site, names[i]));
    }
    for (size_t i = 0; i < count; i++) {
        site_online(site_find(site, names[i]), true);
        site_settle(site);
    }
    site_advance(site, 700000);
    assert_int_equal(command(site), OK);
    assert_int_equal(commands(site, DOOR_1), 2);
    assert_int_equal(commands(site, DOOR_2), 0);
}

/* The stores of authority and MN-CSE are put back, and no device's: what the devices hold tells the
 * authority. */
static void devices_are_newer(void **state)
{
    struct site *site = *state;
    static const char *const names[] = {SITE_AUTHORITY, SITE_MN_CSE};
    for (size_t i = 0; i < 2; i++) {
        store_copy(site, site_find(site, names[i]));
    }
    life_goes_on(site);
    uint64_t before = incarnation_of(site_find(site, DOOR_1));
    for (size_t i = 0; i < 2; i++) {
        site_online(site_find(site, names[i]), false);
        store_put_back(site, site_find(site, names[i]));
    }
    for (size_t i = 0; i < 2; i++) {
        site_reopen(site_find(site, names[i]));
        site_online(site_find(site, names[i]), true);
        site_settle(site);
    }
    site_online(site_find(site, DOOR_1), false); /* the broker was off, too */
    site_online(site_find(site, DOOR_1), true);
    site_advance(site, 3000);
    assert_false(was_told(site_authority(site), "restored from a backup"));
    assert_int_equal(command(site), OK);
    assert_int_equal(commands(site, DOOR_1), 1); /* of an epoch that it knows to be over */
    site_advance(site, 300000);
    assert_true(was_told(site_authority(site), "restored from a backup"));
    assert_int_equal(operator_confirm(site, "--all"), OK);
    site_advance(site, 700000);
    assert_begun_anew(site, before);
}

/* The same, but the authority has come as far as the device in the meantime, with another key. */
static void device_holds_the_same_epoch(void **state)
{
    struct site *site = *state;
    struct site_node *door = site_find(site, DOOR_1);
    store_copy(site, site_authority(site));
    store_copy(site, site_find(site, SITE_MN_CSE));
    assert_int_equal(operator_rotate(site, "doors"), OK);
    site_advance(site, 3000);
    site_online(door, false);
    store_put_back(site, site_authority(site));
    store_put_back(site, site_find(site, SITE_MN_CSE));
    site_reopen(site_find(site, SITE_MN_CSE));
    site_reopen(site_authority(site));
    site_advance(site, 10000);
    assert_int_equal(operator_rotate(site, "doors"), OK);
    site_advance(site, 10000);
    assert_false(was_told(site_authority(site), "restored from a backup"));
    site_online(door, true);
    site_advance(site, 300000);
    assert_true(was_told(site_authority(site), "restored from a backup"));
}

/* ---- from before a group ---- */

static void put_back(struct site *site, const char *name)
{
    site_online(site_find(site, name), false);
    store_put_back(site, site_find(site, name));
    site_reopen(site_find(site, name));
    site_online(site_find(site, name), true);
    site_settle(site);
}

/* The MN-CSE's store is put back to before one of its groups was made: the authority knows that the key
 * package was taken, and the MN-CSE does not know that there ever was one. */
static void mn_cse_is_from_before_a_group(void **state)
{
    struct site *site = *state;
    site_advance(site, 10000);
    store_copy(site, site_find(site, SITE_MN_CSE));
    site_advance(site, 10000);
    site_group(site, "fire-doors", "door", SITE_MN_CSE);
    site_advance(site, 20000);
    assert_int_equal(command_of(site, "fire-doors"), OK);
    assert_int_equal(commands(site, DOOR_1), 1);
    put_back(site, SITE_MN_CSE);
    site_advance(site, 60000);
    assert_int_equal(command_of(site, "fire-doors"), OK);
    assert_int_equal(commands(site, DOOR_1), 2);
    assert_int_equal(commands(site, DOOR_2), 2);
}

/* ---- without CONFIRM ---- */

struct way {
    struct site *site;
    unsigned lost;
};

static bool is_confirm(struct bytes payload)
{
    Groupseal__Envelope__EndToEnd *object =
        groupseal__envelope__end_to_end__unpack(NULL, payload.length, payload.data);
    bool confirm = object != NULL &&
                   object->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT &&
                   object->flight->number == 4;
    groupseal__envelope__end_to_end__free_unpacked(object, NULL);
    return confirm;
}

static enum site_fate confirm_is_lost(void *context, const struct site_message *message)
{
    struct way *way = context;
    if (message->what == SITE_ANSWER && strcmp(message->to, DOOR_1) == 0 && is_confirm(message->payload)) {
        way->lost++;
        return SITE_LOSE;
    }
    return roster_decides(way->site, message);
}

static bool departed(const struct site_node *node, const char *group, const char *words)
{
    for (size_t i = 0; i < site_event_count(node); i++) {
        const Groupseal__Secenv__Event *event = site_event(node, i);
        if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED &&
            strcmp(event->departed->group, group) == 0 && strstr(event->departed->reason, words) != NULL) {
            return true;
        }
    }
    return false;
}

/* The key package comes first, and says as well that all before this incarnation is over: the group that was
 * made after the backup, which nobody knows any more, too. */
static void package_overtakes_confirm(void **state)
{
    struct site *site = *state;
    struct way way = {site, 0};
    store_copy(site, site_authority(site));
    uint64_t before = incarnation_of(site_find(site, DOOR_1));
    assert_true(before != 0);
    site_group(site, "exits", "door", SITE_MN_CSE);
    site_advance(site, 3000);
    assert_int_equal(incarnation_of(site_find(site, DOOR_1)), 0); /* it is in two groups now */
    store_put_back(site, site_authority(site));
    site_reopen(site_authority(site));
    site_advance(site, 5000);
    site_carry(site, confirm_is_lost, &way);
    assert_int_equal(operator_confirm(site, "--all"), OK);
    site_advance(site, 700000);
    assert_true(way.lost > 0);
    assert_true(incarnation_of(site_find(site, DOOR_1)) > before);
    assert_true(departed(site_find(site, DOOR_1), "exits", "begun anew"));
    site_carry(site, roster_decides, site);
}

/* ---- what was recorded before ---- */

struct recorded {
    char from[130];
    char to[130];
    struct buffer payload;
    Groupseal__Secenv__Publish *publish; /* NULL: an object */
};

struct recorder {
    struct site *site;
    struct recorded items[1024];
    size_t count;
};

static enum site_fate record(void *context, const struct site_message *message)
{
    struct recorder *recorder = context;
    if (message->what != SITE_ANSWER &&
        recorder->count < sizeof(recorder->items) / sizeof(recorder->items[0])) {
        struct recorded *item = &recorder->items[recorder->count++];
        (void)snprintf(item->from, sizeof(item->from), "%s", message->from);
        (void)snprintf(item->to, sizeof(item->to), "%s", message->to);
        item->payload = BUFFER_EMPTY(OBJECT_LIMIT);
        assert_int_equal(buffer_append(&item->payload, message->payload), RESULT_OK);
        if (message->what == SITE_PUBLISH) {
            size_t size = groupseal__secenv__publish__get_packed_size(message->publish);
            uint8_t *packed = malloc(size + 1);
            assert_non_null(packed);
            (void)groupseal__secenv__publish__pack(message->publish, packed);
            item->publish = groupseal__secenv__publish__unpack(NULL, size, packed);
            free(packed);
        }
    }
    return roster_decides(recorder->site, message);
}

static void recorder_free(struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->count; i++) {
        buffer_clear(&recorder->items[i].payload);
        groupseal__secenv__publish__free_unpacked(recorder->items[i].publish, NULL);
    }
    free(recorder);
}

/* Group messages to whom they were for, from the broker or as the authority of then; objects as from their
 * senders. */
static void replay(struct site *site, const struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->count; i++) {
        const struct recorded *item = &recorder->items[i];
        if (item->publish != NULL) {
            (void)site_hear(site_find(site, item->to), item->publish, false);
        } else {
            const char *hop = strcmp(item->to, SITE_AUTHORITY) == 0 ? SITE_MN_CSE : SITE_AUTHORITY;
            struct buffer answer =
                site_received(site_find(site, item->to), item->from, hop, buffer_bytes(&item->payload));
            buffer_clear(&answer);
        }
    }
}

/* Nothing that was said before the restore does anything after it, to anybody. */
static void recorded_before_the_restore(void **state)
{
    struct site *site = *state;
    static const char *const names[] = {SITE_AUTHORITY, SITE_MN_CSE, DOOR_1};
    struct recorder *recorder = calloc(1, sizeof(*recorder));
    assert_non_null(recorder);
    recorder->site = site;
    site_carry(site, record, recorder);
    store_copy(site, site_authority(site));
    life_goes_on(site); /* the twin: all of it is taken when it is said the first time */
    size_t said = recorder->count;
    assert_true(said > 25 && said < sizeof(recorder->items) / sizeof(recorder->items[0]));
    uint64_t before = incarnation_of(site_find(site, DOOR_1));
    store_put_back(site, site_authority(site));
    site_reopen(site_authority(site));
    site_advance(site, 5000);
    replay(site, recorder); /* while it waits for the operator's word */
    assert_int_equal(operator_confirm(site, "--all"), OK);
    site_carry(site, roster_decides, site);
    site_advance(site, 700000);
    assert_begun_anew(site, before);

    uint8_t digests[3][32];
    for (size_t i = 0; i < 3; i++) {
        site_digest(site_find(site, names[i]), digests[i]);
    }
    uint64_t after = incarnation_of(site_find(site, DOOR_1));
    replay(site, recorder);
    for (size_t i = 0; i < 3; i++) {
        uint8_t digest[32];
        site_digest(site_find(site, names[i]), digest);
        assert_memory_equal(digest, digests[i], sizeof(digest));
    }
    assert_int_equal(commands(site, DOOR_1), 2);
    site_settle(site);
    assert_int_equal(command(site), OK);
    assert_int_equal(commands(site, DOOR_1), 3);
    assert_int_equal(incarnation_of(site_find(site, DOOR_1)), after);
    recorder_free(recorder);
}

/* ---- evicted while the IN-CSE is not there yet ---- */

/* The operator is quicker than in-cse after a start: LEFT waits for it. */
static void evicted_before_the_owner_came(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    site_online(authority, false);
    site_restart(authority);
    assert_int_equal(operator_evict(site, DOOR_2), OK);
    site_advance(site, 1000);
    assert_null(site_last_event(site_find(site, DOOR_2), GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED));
    site_online(authority, true);
    site_settle(site);
    assert_non_null(site_last_event(site_find(site, DOOR_2), GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED));
    assert_int_equal(incarnation_of(site_find(site, DOOR_2)), 0);
    assert_true(incarnation_of(site_find(site, DOOR_1)) != 0);
}

/* What was undone is not said. */
static void eviction_that_failed(void **state)
{
    struct site *site = *state;
    struct site_node *authority = site_authority(site);
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__MemberEvict evict = GROUPSEAL__SECENV__MEMBER_EVICT__INIT;
    char reason[300];
    memset(reason, 'x', sizeof(reason));
    reason[sizeof(reason) - 1] = '\0';
    char *names[] = {(char *)DOOR_2};
    evict.names = names;
    evict.n_names = 1;
    evict.reason = reason;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_EVICT;
    request.member_evict = &evict;
    site_online(authority, false);
    Groupseal__Secenv__Reply *reply = operator_call(site, &request);
    assert_int_equal(reply->code, GROUPSEAL__SECENV__CODE__INVALID);
    site_reply_free(reply);
    site_online(authority, true);
    site_settle(site);
    assert_int_equal(command(site), OK);
    assert_int_equal(commands(site, DOOR_2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(authority_restored, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_restored, setup, teardown),
        cmocka_unit_test_setup_teardown(devices_are_newer, setup, teardown),
        cmocka_unit_test_setup_teardown(device_holds_the_same_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(mn_cse_is_from_before_a_group, setup, teardown),
        cmocka_unit_test_setup_teardown(package_overtakes_confirm, setup, teardown),
        cmocka_unit_test_setup_teardown(recorded_before_the_restore, setup, teardown),
        cmocka_unit_test_setup_teardown(evicted_before_the_owner_came, setup, teardown),
        cmocka_unit_test_setup_teardown(eviction_that_failed, setup, teardown),
    };
    return cmocka_run_group_tests_name("authority_restore", tests, NULL, NULL);
}
