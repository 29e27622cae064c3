/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "secenv/outbox.h"
#include "tests/unit/store_place.h"

#define OWNER "//sp.example/in-cse"
#define DOOR "//sp.example/Sdoor1"
#define LAMP "//sp.example/Slamp1"

static const char *const schemas[] = {outbox_schema};

struct sent {
    char peer[129];
    char slot[128];
    char group[65];
    uint64_t item;
    unsigned attempts;
};

struct post {
    struct place *place;
    struct outbox *outbox;
    struct arena *arena;
    enum result answer; /* what sending answers */
    struct sent sent[64];
    size_t count;
};

static void open_outbox(struct post *post)
{
    struct reason why = {""};
    assert_int_equal(outbox_open(post->place->store, &post->place->clock, &post->outbox, &why), RESULT_OK);
}

static int setup(void **state)
{
    struct post *post = calloc(1, sizeof(*post));
    post->place = place_new(schemas, 1);
    post->arena = arena_new(1024 * 1024);
    open_outbox(post);
    *state = post;
    return 0;
}

static int teardown(void **state)
{
    struct post *post = *state;
    outbox_close(post->outbox);
    arena_free(post->arena);
    place_free(post->place);
    free(post);
    return 0;
}

static enum result put_result(struct post *post, const char *peer, const char *slot, const char *group,
                              uint64_t *item)
{
    struct reason why = {""};
    char text[65];
    (void)snprintf(text, sizeof(text), "%s", group);
    Groupseal__Envelope__Left left = GROUPSEAL__ENVELOPE__LEFT__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    left.group = text;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_LEFT;
    body.left = &left;
    enum result result = outbox_put(post->outbox, OWNER, peer, slot, &body, &why);
    if (item != NULL) {
        *item = body.item;
    }
    return result;
}

static uint64_t put(struct post *post, const char *peer, const char *slot, const char *group)
{
    uint64_t item = 0;
    assert_int_equal(put_result(post, peer, slot, group, &item), RESULT_OK);
    assert_true(item > 0);
    return item;
}

static enum result note_sent(void *context, const char *owner, const char *peer, const char *slot,
                             Groupseal__Envelope__RecordBody *body, unsigned attempts)
{
    struct post *post = context;
    assert_string_equal(owner, OWNER);
    assert_in_range(post->count, 0, 63);
    struct sent *sent = &post->sent[post->count++];
    (void)snprintf(sent->peer, sizeof(sent->peer), "%s", peer);
    (void)snprintf(sent->slot, sizeof(sent->slot), "%s", slot);
    (void)snprintf(sent->group, sizeof(sent->group), "%s", body->left->group);
    sent->item = body->item;
    sent->attempts = attempts;
    return post->answer;
}

/* Runs what is due; how many were sent. */
static size_t run(struct post *post)
{
    struct reason why = {""};
    post->count = 0;
    assert_int_equal(outbox_run(post->outbox, note_sent, post, post->arena, &why), RESULT_OK);
    arena_reset(post->arena);
    return post->count;
}

static enum result accept_item(struct post *post, const char *peer, uint64_t item, uint32_t result,
                               char *slot)
{
    struct reason why = {""};
    return outbox_accepted(post->outbox, OWNER, peer, item, result, slot, 128, &why);
}

static void sends_until_accepted(void **state)
{
    struct post *post = *state;
    char slot[128] = "";
    assert_int_equal(outbox_next(post->outbox), UINT64_MAX);
    uint64_t item = put(post, DOOR, "package doors", "doors");
    assert_int_equal(run(post), 1);
    assert_string_equal(post->sent[0].peer, DOOR);
    assert_string_equal(post->sent[0].slot, "package doors");
    assert_string_equal(post->sent[0].group, "doors");
    assert_int_equal(post->sent[0].item, item);
    assert_int_equal(post->sent[0].attempts, 0);
    assert_int_equal(run(post), 0);

    assert_int_equal(accept_item(post, LAMP, item, 0, slot), RESULT_UNKNOWN); /* not the peer's own */
    assert_int_equal(accept_item(post, DOOR, item + 1, 0, slot), RESULT_UNKNOWN);
    assert_int_equal(accept_item(post, DOOR, item, 0, slot), RESULT_OK);
    assert_string_equal(slot, "package doors");
    assert_int_equal(accept_item(post, DOOR, item, 0, slot), RESULT_UNKNOWN); /* a repeat */
    post->place->now_us += 3600u * 1000000u;
    assert_int_equal(run(post), 0);
    assert_int_equal(outbox_next(post->outbox), UINT64_MAX);
}

static void backs_off(void **state)
{
    struct post *post = *state;
    (void)put(post, DOOR, "left doors", "doors");
    uint64_t base = 1000000;
    bool jittered = false;
    for (unsigned attempt = 0; attempt < 12; attempt++) {
        assert_int_equal(run(post), 1);
        assert_int_equal(post->sent[0].attempts, attempt);
        uint64_t wait = outbox_next(post->outbox) - post->place->now_us;
        assert_in_range(wait, base - base / 4, base + base / 4);
        jittered = jittered || wait != base;
        post->place->now_us += wait - 1;
        assert_int_equal(run(post), 0);
        post->place->now_us += 1;
        base = base * 2 > 60000000 ? 60000000 : base * 2;
    }
    assert_true(jittered);
}

/* The more is on its way, the longer it is waited for. */
static void waits_longer_where_the_way_is_full(void **state)
{
    struct post *post = *state;
    (void)put(post, DOOR, "left doors", "doors");
    outbox_under_way(post->outbox, 1000);
    assert_int_equal(run(post), 1);
    uint64_t wait = outbox_next(post->outbox) - post->place->now_us;
    assert_in_range(wait, 750000 + UINT64_C(1000) * OUTBOX_UNDER_WAY_US,
                    1250000 + UINT64_C(1000) * OUTBOX_UNDER_WAY_US);
    outbox_under_way(post->outbox, SIZE_MAX / OUTBOX_UNDER_WAY_US);
    post->place->now_us += wait;
    assert_int_equal(run(post), 1);
    assert_in_range(outbox_next(post->outbox) - post->place->now_us, 61500000, 62500000);
}

static void kick_sends_at_once(void **state)
{
    struct post *post = *state;
    (void)put(post, DOOR, "a", "a");
    (void)put(post, LAMP, "b", "b");
    for (int i = 0; i < 5; i++) {
        post->place->now_us += 120u * 1000000u;
        assert_int_equal(run(post), 2);
    }
    outbox_kick(post->outbox, OWNER, DOOR);
    assert_int_equal(run(post), 1);
    assert_string_equal(post->sent[0].peer, DOOR);
    assert_int_equal(post->sent[0].attempts, 0); /* it begins anew */
    outbox_kick(post->outbox, OWNER, NULL);
    assert_int_equal(run(post), 2);
    outbox_kick(post->outbox, "//sp.example/other", NULL);
    outbox_kick(post->outbox, OWNER, "//sp.example/nobody");
    assert_int_equal(run(post), 0);
}

/* What is due at one time goes in the order in which it was put: a change builds on the roster before it. */
static void first_put_goes_first(void **state)
{
    struct post *post = *state;
    const char *const slots[] = {"e", "a", "d", "b", "c"};
    for (int round = 0; round < 20; round++) { /* the rests before, which are drawn, leave no trace */
        for (size_t i = 0; i < 5; i++) {
            (void)put(post, DOOR, slots[i], "x");
        }
        assert_int_equal(run(post), 5);
        for (size_t i = 0; i < 5; i++) {
            assert_string_equal(post->sent[i].slot, slots[i]);
        }
        outbox_kick(post->outbox, OWNER, DOOR);
        assert_int_equal(run(post), 5);
        for (size_t i = 0; i < 5; i++) {
            assert_string_equal(post->sent[i].slot, slots[i]);
        }
    }
}

/* Heard again, the peer has at once what it did not answer; what may still be on its way is left to its time.
 */
static void heard_sends_what_was_not_answered(void **state)
{
    struct post *post = *state;
    char slot[128] = "";
    uint64_t item = put(post, DOOR, "a", "a");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run(post), 1);
        assert_int_equal(accept_item(post, DOOR, item, 7, slot), RESULT_OK); /* it is there, and not ready */
        post->place->now_us += 120u * 1000000u;
    }
    assert_int_equal(run(post), 1);
    assert_int_equal(accept_item(post, DOOR, item, 7, slot), RESULT_OK);
    (void)put(post, DOOR, "b", "b");
    assert_int_equal(run(post), 1);
    assert_false(outbox_heard(post->outbox, OWNER, DOOR));
    assert_int_equal(run(post), 0);
    for (int i = 0; i < 5; i++) {
        post->place->now_us += 120u * 1000000u;
        assert_int_equal(run(post), 2);
        assert_int_equal(accept_item(post, DOOR, item, 7, slot), RESULT_OK);
    }
    assert_false(outbox_heard(post->outbox, OWNER, LAMP));
    assert_true(outbox_heard(post->outbox, OWNER, DOOR));
    assert_int_equal(run(post), 1);
    assert_string_equal(post->sent[0].slot, "b");
    assert_int_equal(post->sent[0].attempts, 0);
    assert_false(outbox_heard(post->outbox, OWNER, DOOR)); /* once */
}

static void waits_where_nothing_can_be_sent(void **state)
{
    struct post *post = *state;
    (void)put(post, DOOR, "a", "a");
    post->answer = RESULT_NOT_READY;
    assert_int_equal(run(post), 1);
    assert_int_equal(outbox_next(post->outbox), UINT64_MAX);
    post->place->now_us += 3600u * 1000000u;
    assert_int_equal(run(post), 0);
    post->answer = RESULT_OK;
    outbox_kick(post->outbox, OWNER, NULL);
    assert_int_equal(run(post), 1);
    assert_int_equal(post->sent[0].attempts, 0);
}

static void newer_takes_the_slot(void **state)
{
    struct post *post = *state;
    char slot[128] = "";
    uint64_t first = put(post, DOOR, "package doors", "old");
    uint64_t other = put(post, DOOR, "package lamps", "lamps");
    assert_int_equal(run(post), 2);
    uint64_t second = put(post, DOOR, "package doors", "new");
    assert_true(second > other && other > first);
    assert_int_equal(run(post), 1); /* at once, though its slot was waiting */
    assert_string_equal(post->sent[0].group, "new");
    assert_int_equal(post->sent[0].attempts, 0);
    assert_int_equal(accept_item(post, DOOR, first, 0, slot), RESULT_UNKNOWN);
    assert_int_equal(accept_item(post, DOOR, second, 0, slot), RESULT_OK);
    assert_int_equal(accept_item(post, DOOR, other, 2, slot), RESULT_OK); /* refused: ended too */
    assert_string_equal(slot, "package lamps");
    outbox_kick(post->outbox, OWNER, NULL);
    assert_int_equal(run(post), 0);
}

static void store_error_of_the_peer_keeps_it(void **state)
{
    struct post *post = *state;
    char slot[128] = "";
    uint64_t item = put(post, DOOR, "a", "a");
    assert_int_equal(run(post), 1);
    assert_int_equal(accept_item(post, DOOR, item, 7, slot), RESULT_OK);
    assert_string_equal(slot, "a");
    post->place->now_us += 2u * 1000000u;
    assert_int_equal(run(post), 1);
    assert_int_equal(post->sent[0].item, item);
    assert_int_equal(post->sent[0].attempts, 0); /* it was answered */
    uint64_t wait = outbox_next(post->outbox) - post->place->now_us;
    assert_in_range(wait, 1500000, 2500000); /* but the back-off goes on */
}

static void drops(void **state)
{
    struct post *post = *state;
    struct reason why = {""};
    (void)put(post, DOOR, "a", "a");
    (void)put(post, DOOR, "b", "b");
    (void)put(post, LAMP, "a", "a");
    assert_int_equal(outbox_drop_slot(post->outbox, OWNER, DOOR, "a", &why), RESULT_OK);
    assert_int_equal(run(post), 2);
    assert_int_equal(outbox_drop_peer(post->outbox, OWNER, DOOR, &why), RESULT_OK);
    outbox_kick(post->outbox, OWNER, NULL);
    assert_int_equal(run(post), 1);
    assert_string_equal(post->sent[0].peer, LAMP);
}

/* The oldest go, of these slots alone. */
static void trims(void **state)
{
    struct post *post = *state;
    struct reason why = {""};
    (void)put(post, DOOR, "own 1", "1");
    (void)put(post, DOOR, "owner", "owner");
    (void)put(post, LAMP, "own 1", "lamp");
    (void)put(post, DOOR, "own 2", "2");
    (void)put(post, DOOR, "own 3", "3");
    (void)put(post, DOOR, "own 1", "1 again"); /* the newest now */
    assert_int_equal(outbox_trim(post->outbox, OWNER, DOOR, "own ", 3, &why), RESULT_OK);
    assert_int_equal(run(post), 5);
    assert_int_equal(outbox_trim(post->outbox, OWNER, DOOR, "own ", 2, &why), RESULT_OK);
    outbox_kick(post->outbox, OWNER, DOOR);
    assert_int_equal(run(post), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_not_equal(post->sent[i].slot, "own 2");
    }
}

static void restart_sends_all_again(void **state)
{
    struct post *post = *state;
    uint64_t item = put(post, DOOR, "a", "first");
    (void)put(post, LAMP, "b", "second");
    assert_int_equal(run(post), 2);
    outbox_close(post->outbox);
    place_reopen(post->place);
    open_outbox(post);
    assert_int_equal(run(post), 2);
    uint64_t after = put(post, DOOR, "c", "third");
    assert_true(after > item);
    char slot[128] = "";
    assert_int_equal(accept_item(post, DOOR, item, 0, slot), RESULT_OK);
}

/* What a request did is undone with it, and only that. */
static void rolled_back_requests(void **state)
{
    struct post *post = *state;
    struct reason why = {""};
    char slot[128] = "";
    uint64_t item = put(post, DOOR, "a", "kept");
    assert_int_equal(run(post), 1);

    assert_int_equal(store_begin(post->place->store, &why), RESULT_OK);
    assert_int_equal(store_savepoint(post->place->store, &why), RESULT_OK);
    (void)put(post, DOOR, "b", "undone");
    (void)put(post, DOOR, "a", "undone");
    store_rollback_to_savepoint(post->place->store);
    assert_int_equal(store_savepoint(post->place->store, &why), RESULT_OK);
    assert_int_equal(accept_item(post, DOOR, item, 0, slot), RESULT_OK);
    store_rollback_to_savepoint(post->place->store);
    assert_int_equal(store_commit(post->place->store, &why), RESULT_OK);

    outbox_kick(post->outbox, OWNER, NULL);
    assert_int_equal(run(post), 1);
    assert_string_equal(post->sent[0].group, "kept");
    assert_int_equal(post->sent[0].item, item);
    assert_int_equal(accept_item(post, DOOR, item, 0, slot), RESULT_OK);
}

static enum result send_never(void *context, const char *owner, const char *peer, const char *slot,
                              Groupseal__Envelope__RecordBody *body, unsigned attempts)
{
    (void)owner;
    (void)peer;
    (void)slot;
    (void)body;
    (void)attempts;
    (*(size_t *)context)++;
    return RESULT_NOT_READY;
}

static void is_bounded(void **state)
{
    struct post *post = *state;
    struct reason why = {""};
    char slot[160];
    assert_int_equal(store_begin(post->place->store, &why), RESULT_OK);
    for (int i = 0; i < 4096; i++) {
        (void)snprintf(slot, sizeof(slot), "slot %d", i);
        (void)put(post, DOOR, slot, "x");
    }
    assert_int_equal(put_result(post, DOOR, "one more", "x", NULL), RESULT_FULL);
    (void)put(post, DOOR, "slot 9", "newer"); /* takes no more room than the older one */
    (void)put(post, LAMP, "one more", "x");   /* another peer's */
    assert_int_equal(outbox_drop_slot(post->outbox, OWNER, DOOR, "slot 7", &why), RESULT_OK);
    (void)put(post, DOOR, "one more", "x");
    assert_int_equal(store_commit(post->place->store, &why), RESULT_OK);
    /* What is dropped leaves nothing behind, though nobody is ever in reach. */
    post->answer = RESULT_NOT_READY;
    while (outbox_next(post->outbox) != UINT64_MAX) {
        size_t sent = 0;
        assert_int_equal(outbox_run(post->outbox, send_never, &sent, post->arena, &why), RESULT_OK);
        arena_reset(post->arena);
    }
    assert_int_equal(outbox_drop_slot(post->outbox, OWNER, DOOR, "slot 8", &why), RESULT_OK);
    assert_int_equal(outbox_next(post->outbox), post->place->now_us);
    assert_int_equal(run(post), 0);
    assert_int_equal(outbox_next(post->outbox), UINT64_MAX);
    memset(slot, 's', sizeof(slot) - 1);
    slot[sizeof(slot) - 1] = '\0';
    assert_int_equal(put_result(post, LAMP, slot, "x", NULL), RESULT_INVALID);
}

static enum result send_nothing(void *context, const char *owner, const char *peer, const char *slot,
                                Groupseal__Envelope__RecordBody *body, unsigned attempts)
{
    (void)owner;
    (void)peer;
    (void)slot;
    (void)body;
    (void)attempts;
    (*(size_t *)context)++;
    return RESULT_OK;
}

/* An arena that is used up ends the turn, not the outbox. */
static void goes_on_in_the_next_turn(void **state)
{
    struct post *post = *state;
    struct reason why = {""};
    char slot[32];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(slot, sizeof(slot), "slot %d", i);
        (void)put(post, DOOR, slot, "x");
    }
    size_t sent = 0;
    struct arena *small = arena_new(4096);
    for (int turn = 0; sent < 300 && turn < 300; turn++) {
        size_t before = sent;
        assert_int_equal(outbox_run(post->outbox, send_nothing, &sent, small, &why), RESULT_OK);
        assert_true(sent > before);
        assert_true(sent - before < 256);
        arena_reset(small);
    }
    assert_int_equal(sent, 300);
    arena_free(small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sends_until_accepted),
        TEST(backs_off),
        TEST(waits_longer_where_the_way_is_full),
        TEST(kick_sends_at_once),
        TEST(first_put_goes_first),
        TEST(heard_sends_what_was_not_answered),
        TEST(waits_where_nothing_can_be_sent),
        TEST(newer_takes_the_slot),
        TEST(store_error_of_the_peer_keeps_it),
        TEST(drops),
        TEST(trims),
        TEST(restart_sends_all_again),
        TEST(rolled_back_requests),
        TEST(is_bounded),
        TEST(goes_on_in_the_next_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
