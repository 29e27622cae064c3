/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/log.h"
#include "tests/schedules/options.h"
#include "tests/schedules/population.h"
#include "tests/schedules/population_authority.h"
#include "tests/schedules/random_source.h"
#include "tests/unit/operator.h"

/*
 * Random lives of a site of real engines (population.h): each seed is a site, and plays twenty schedules one
 * after the other; after each all must be as it should be. GROUPSEAL_VERBOSE: with the log of the engines.
 */
#define DEFAULT_COUNT 80u
#define SCHEDULES_A_SITE 20u

static struct schedule_options options;
static uint64_t playing; /* the seed of the site under way; 0: none */

static int seed_say(void **state)
{
    (void)state;
    if (playing != 0) {
        print_message("again, alone: --seed %llu --count 1\n", (unsigned long long)playing);
    }
    return 0;
}

static size_t size_of_site(struct population *draw)
{
    static const size_t sizes[] = {3, 4, 5, 6, 6, 8, 8, 10, 20, 22};
    return sizes[population_random(draw, sizeof(sizes) / sizeof(sizes[0]))];
}

/* Who comes, goes, sleeps and wakes. */
static void resident_act(struct population *population)
{
    size_t number = population_random(population, population->resident_count);
    const struct resident *resident = &population->residents[number];
    switch (population_random(population, 6)) {
    case 0:
        population_add(population);
        break;
    case 1:
    case 2:
        if (resident->enrolled) {
            population_evict(population, number, population_random(population, 2) == 0);
        } else {
            population_enrol(population, number);
        }
        break;
    case 3:
        (void)operator_reauthenticate(population->site, resident->name);
        break;
    default:
        population_wake(population, number, !resident->awake);
        break;
    }
}

static void act(struct population *population)
{
    switch (population_random(population, 14)) {
    case 0:
        (void)operator_rotate(population->site, PLAY_GROUP);
        break;
    case 1:
        population_command(population);
        break;
    case 2:
    case 3:
        population_order(population);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        population_speak(population, population_random(population, population->resident_count));
        break;
    case 8:
        if (population_random(population, 4) == 0) {
            population_broker_crash(population);
        }
        break;
    default:
        resident_act(population);
        break;
    }
}

static void schedule_play(struct population *population)
{
    population->upset = true;
    bool cuts = population_random(population, 3) == 0;
    for (uint64_t i = 6 + population_random(population, 8); i > 0; i--) {
        if (cuts && population_random(population, 4) == 0) {
            population_cut(population);
        }
        act(population);
        if (population_random(population, 3) != 0) {
            population_advance(population, population_random(population, 1200));
        }
        if (cuts && population_random(population, 4) == 0) {
            population_raise(population);
        }
    }
    population_advance(population, population_random(population, 6000));
    population_rest(population);
}

static void lives(void **state)
{
    (void)state;
    struct population sum = {.changes = 0};
    uint32_t highest = 0;
    uint64_t sites = (options.count + SCHEDULES_A_SITE - 1) / SCHEDULES_A_SITE;
    print_message("%llu schedules on %llu sites, --seed %llu\n", (unsigned long long)options.count,
                  (unsigned long long)sites, (unsigned long long)options.seed);
    for (uint64_t seed = options.seed; seed < options.seed + sites; seed++) {
        struct population draw = {.random = seed * 0x9e3779b97f4a7c15u + 1u};
        playing = seed;
        random_source_start(seed);
        struct population *population = population_new(seed, size_of_site(&draw));
        for (unsigned i = 0; i < SCHEDULES_A_SITE; i++) {
            schedule_play(population);
        }
        uint32_t height = authority_height_of(population->site, PLAY_GROUP);
        highest = height > highest ? height : highest;
        sum.changes += population->changes;
        sum.orders_ended += population->orders_ended;
        sum.messages_heard += population->messages_heard;
        sum.messages_excused += population->messages_excused;
        sum.messages_too_old += population->messages_too_old;
        sum.spoken_evicted += population->spoken_evicted;
        sum.cuts += population->cuts;
        sum.brokers += population->brokers;
        population_free(population);
    }
    playing = 0;
    print_message(
        "%zu changes, trees of %u levels, %zu answers to commands, %zu signed messages heard, %zu excused, "
        "%zu too old, %zu said by evicted ones, %zu cuts, %zu brokers\n",
        sum.changes, highest, sum.orders_ended, sum.messages_heard, sum.messages_excused,
        sum.messages_too_old, sum.spoken_evicted, sum.cuts, sum.brokers);
    if (options.count >= DEFAULT_COUNT) { /* it was all there */
        assert_true(highest > TREE_BLOCK_LEVELS);
        assert_true(sum.orders_ended > 0 && sum.messages_heard > sum.messages_excused &&
                    sum.spoken_evicted > 0);
        assert_true(sum.cuts > 0 && sum.brokers > 0);
        assert_true(sum.messages_too_old <= options.count / 20);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lives, seed_say),
    };
    options = schedule_options_read(argc, argv, DEFAULT_COUNT);
    log_threshold(getenv("GROUPSEAL_VERBOSE") != NULL ? LOG_LEVEL_INFO : LOG_LEVEL_ALARM);
    power_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
