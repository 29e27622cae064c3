/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/schedules/life.h"
#include "tests/schedules/options.h"

/*
 * Random lives of a key tree, to 4,096 leaves: everybody in it climbs to every root from the leaf secret
 * alone, whatever was lost, late, twice or out of order; and what those who left, those who came and who
 * stole a leaf can make of every message ever sent (closure.h) opens nothing that is not theirs.
 */
#define DEFAULT_COUNT 120u
#define LISTENERS 6u
#define CLOSURE_ALWAYS 16u /* leaves; of trees of twice as many every second one, and so on … */
#define CLOSURE_NEVER 128u /* … and of these none: it grows with the square of what was published */

static struct schedule_options options;
static size_t closures;
static uint64_t playing; /* the seed of the schedule under way; 0: none */

static int seed_say(void **state)
{
    (void)state;
    if (playing != 0) {
        print_message("again, alone: --seed %llu --count 1\n", (unsigned long long)playing);
    }
    return 0;
}

/* ---- leaks, planted: the closure finds them ---- */

#define SMALL 8u
#define LEAVER 2u /* its neighbour, leaf 3, stays: the node above both is random when it leaves */

static struct life *small_life(void)
{
    struct life *life = life_new(7, SMALL);
    for (uint32_t leaf = 0; leaf < SMALL - 1; leaf++) {
        life_set(life, leaf, NULL);
    }
    life_change(life, false);
    return life;
}

/* Two more epochs, and a newcomer in the last one. */
static void life_go_on(struct life *life)
{
    life_set(life, SMALL - 1, NULL);
    life_change(life, false);
}

static void node_above_a_leaver_is_not_renewed(void **state)
{
    (void)state;
    for (int planted = 0; planted < 2; planted++) {
        struct secret old;
        struct life *life = small_life();
        assert_true(life_node(life, 1, LEAVER / 2, &old));
        if (planted != 0) {
            life_plant_node(&old);
        }
        life_empty(life, LEAVER);
        life_change(life, false);
        life_go_on(life);
        assert_int_equal(life_forward_holds(life), planted == 0);
        assert_true(life_backward_holds(life));
        life_free(life);
    }
}

/* A stolen leaf: good until the leaf is refreshed, and only if the refresh is none. */
static void stolen_leaf_is_not_refreshed(void **state)
{
    (void)state;
    for (int planted = 0; planted < 2; planted++) {
        struct life *life = small_life();
        struct secret stolen = life_holder(life, LEAVER)->secret;
        life_set(life, LEAVER, planted != 0 ? &stolen : NULL);
        life_change(life, false);
        life_go_on(life);
        assert_int_equal(life_forward_holds(life), planted == 0);
        struct closure *thief = life_closure(life);
        closure_learn(thief, &stolen);
        assert_true(closure_knows(thief, &life->roots[1]));
        assert_int_equal(closure_knows(thief, &life->roots[2]), planted != 0);
        closure_free(thief);
        life_free(life);
    }
}

static void new_root_is_wrapped_for_a_leaver(void **state)
{
    (void)state;
    for (int planted = 0; planted < 2; planted++) {
        struct life *life = small_life();
        struct secret held = life_holder(life, LEAVER)->secret;
        life_empty(life, LEAVER);
        life_change(life, false);
        life_plant_wrap(life, planted != 0 ? &held : &life_holder(life, 0)->secret, &life->roots[2]);
        assert_int_equal(life_forward_holds(life), planted == 0);
        life_free(life);
    }
}

static void old_root_is_wrapped_for_a_newcomer(void **state)
{
    (void)state;
    for (int planted = 0; planted < 2; planted++) {
        struct life *life = small_life();
        life_go_on(life);
        life_plant_wrap(life, &life_holder(life, SMALL - 1)->secret, &life->roots[planted != 0 ? 1 : 2]);
        assert_int_equal(life_backward_holds(life), planted == 0);
        assert_int_equal(life_tenure_holds(life, life_holder(life, SMALL - 1)), planted == 0);
        life_free(life);
    }
}

/* ---- random lives ---- */

static uint32_t reach_of(struct life *life)
{
    static const uint32_t levels[] = {1, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 9};
    if (life_random(life, 100) == 0) {
        return 1u << 12;
    }
    return 1u << levels[life_random(life, sizeof(levels) / sizeof(levels[0]))];
}

/* Joins, evictions and refreshed leaves of one change, within the first `below` leaves. */
static void batch(struct life *life, uint32_t below)
{
    static const uint32_t sizes[] = {0, 1, 1, 1, 1, 2, 2, 3, 7, 17};
    uint32_t count = sizes[life_random(life, sizeof(sizes) / sizeof(sizes[0]))];
    if (life_random(life, 12) == 0) {
        count = below / 2; /* a wave: a whole row comes, or goes */
    }
    bool leaving = life_random(life, 3) != 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t leaf = life_random(life, below);
        if (life_holder(life, leaf) != NULL && leaving) {
            life_empty(life, leaf);
        } else {
            life_set(life, leaf, NULL);
        }
    }
}

static size_t member_draw(struct life *life)
{
    uint32_t leaf;
    do {
        leaf = life_random(life, life->reach);
    } while (life->holders[leaf] == 0);
    return life->holders[leaf] - 1;
}

/* Live messages: some lost, some twice, old ones late, in any order. */
static void listener_listen(struct life *life, struct listener *listener, size_t from)
{
    size_t early = from > 20 ? from - 20 : 0;
    size_t count = life->published_count - early;
    for (size_t i = 2 * count; i > 0; i--) {
        listener_hear(listener, early + life_random(life, (uint32_t)count));
    }
}

/* Whatever it heard, it comes to the root that its announcement is of, or sees that it does not. */
static void listener_check(const struct life *life, struct listener *listener)
{
    struct secret root;
    if (listener->announcement != 0 && listener_climb(listener, &root)) {
        uint64_t epoch = life->published[listener->announcement - 1].epoch;
        assert_memory_equal(root.data, life->roots[epoch].data, SECRET_SIZE);
    }
    listener_subscribe(listener);
    assert_true(listener_climb(listener, &root));
    assert_memory_equal(root.data, life->roots[life->epoch].data, SECRET_SIZE);
}

/* Six members that have listened for long, and others that are asked once. */
static void everybody_climbs(struct life *life, struct listener *listeners, size_t from)
{
    if (life->members == 0) {
        return;
    }
    for (size_t i = 0; i < LISTENERS; i++) {
        if (life->tenures[listeners[i].tenure].until != LIFE_STILL || life_random(life, 8) == 0) {
            listeners[i] = (struct listener){.life = life, .tenure = member_draw(life)};
        }
        if (life_random(life, 3) != 0) { /* awake */
            listener_listen(life, &listeners[i], from);
            listener_check(life, &listeners[i]);
        }
    }
}

static void every_member_subscribes(struct life *life)
{
    size_t step = life->members / 256 + 1;
    for (uint32_t leaf = 0; leaf < life->reach; leaf += (uint32_t)step) {
        if (life->holders[leaf] != 0) {
            struct listener listener = {.life = life, .tenure = life->holders[leaf] - 1};
            listener_check(life, &listener);
        }
    }
}

static void life_live(struct life *life)
{
    struct listener listeners[LISTENERS] = {{0}};
    uint32_t count = 12 + life_random(life, 16);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t below = life->reach * (i + 1) / count; /* the group grows, rows are added */
        size_t from = life->published_count;
        batch(life, below < 2 ? 2 : below);
        if (i == 0) {
            life_set(life, 0, NULL); /* there is somebody */
            life_set(life, 1, NULL);
        }
        life_change(life, life_random(life, 10) == 0);
        if (i == 0) {
            for (size_t j = 0; j < LISTENERS; j++) {
                listeners[j] = (struct listener){.life = life, .tenure = member_draw(life)};
            }
        }
        if (life_random(life, 6) == 0) {
            life_restart(life);
        }
        if (life_random(life, 6) == 0) {
            life_broker_restart(life);
        }
        everybody_climbs(life, listeners, from);
    }
    every_member_subscribes(life);
}

static bool closures_hold(struct life *life)
{
    uint32_t rare = life->reach / CLOSURE_ALWAYS;
    if (life->reach >= CLOSURE_NEVER || (rare > 1 && life_random(life, rare) != 0)) {
        return true;
    }
    closures++;
    const struct tenure *one = &life->tenures[life_random(life, (uint32_t)life->tenure_count)];
    return life_forward_holds(life) && life_backward_holds(life) && life_tenure_holds(life, one);
}

static void lives(void **state)
{
    (void)state;
    size_t changes = 0;
    size_t most = 0;
    print_message("%llu schedules, --seed %llu\n", (unsigned long long)options.count,
                  (unsigned long long)options.seed);
    for (uint64_t seed = options.seed; seed < options.seed + options.count; seed++) {
        struct life *draw = life_new(seed, 1);
        struct life *life = life_new(seed, reach_of(draw));
        life_free(draw);
        playing = seed;
        life_live(life);
        assert_true(closures_hold(life));
        changes += life->epoch;
        most = life->members > most ? life->members : most;
        life_free(life);
    }
    playing = 0;
    print_message("%zu changes, %zu members at most, %zu lives attacked\n", changes, most, closures);
    assert_true(options.count < DEFAULT_COUNT || closures > options.count / 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_above_a_leaver_is_not_renewed),
        cmocka_unit_test(stolen_leaf_is_not_refreshed),
        cmocka_unit_test(new_root_is_wrapped_for_a_leaver),
        cmocka_unit_test(old_root_is_wrapped_for_a_newcomer),
        cmocka_unit_test_teardown(lives, seed_say),
    };
    options = schedule_options_read(argc, argv, DEFAULT_COUNT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
