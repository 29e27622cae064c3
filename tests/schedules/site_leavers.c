/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "envelope.pb-c.h"
#include "secenv/crypto/kdf.h"
#include "secenv/log.h"
#include "secenv/member/packed.h"
#include "tests/schedules/ledger.h"
#include "tests/schedules/options.h"
#include "tests/schedules/population.h"
#include "tests/schedules/random_source.h"
#include "tests/unit/operator.h"

/*
 * What those who left a site of real engines can make of all that they ever held (ledger.h) and of every
 * message that was ever sent: no later epoch secret, nothing that is another member's. Who came later: no
 * earlier one. Who had stolen all of a device: nothing from its next authentication on, though it hears all
 * that is sent to the device.
 */
#define DEFAULT_COUNT 6u
#define SIZE 10u
#define STEPS 40u
#define EPOCHS_LIMIT 512u
#define TREE_LEVELS_HERE 4u

static struct schedule_options options;
static uint64_t playing;

struct theft {
    struct resident *victim; /* NULL: not yet */
    size_t held;             /* of its ledger */
    struct association association;
    uint64_t epoch;           /* in which it was stolen */
    bool renewed;             /* the victim has another association … */
    uint64_t leaf_from;       /* … and had the leaf of this epoch when that was seen */
    uint64_t refreshed;       /* the epoch of its next leaf; 0: none yet */
    struct secret leaves[16]; /* out of records that the stolen association opens */
    size_t leaf_count;
};

struct watch {
    struct population *population;
    uint8_t (*wraps)[WRAP_SIZE]; /* that were ever published */
    size_t wrap_count;
    bool known[EPOCHS_LIMIT];            /* epochs that the MN-CSE has announced, and … */
    struct secret secrets[EPOCHS_LIMIT]; /* … their secrets */
    uint64_t came[RESIDENTS_LIMIT]; /* the first epoch of who came later; 0: was there, or has not come */
    uint8_t instance[INSTANCE_SIZE];
    uint64_t incarnation;
    struct theft theft;
    struct arena *arena;
};

static int seed_say(void **state)
{
    (void)state;
    if (playing != 0) {
        print_message("again, alone: --seed %llu --count 1\n", (unsigned long long)playing);
    }
    return 0;
}

/* ---- everything that is sent ---- */

static void packed_note(struct watch *watch, struct bytes packed)
{
    for (size_t at = 8; at + WRAP_SIZE <= packed.length; at += WRAP_SIZE) {
        if (watch->wrap_count % 1024 == 0) {
            watch->wraps = realloc(watch->wraps, (watch->wrap_count + 1024) * sizeof(*watch->wraps));
            assert_non_null(watch->wraps);
        }
        memcpy(watch->wraps[watch->wrap_count++], packed.data + at, WRAP_SIZE);
    }
}

static void epoch_note(struct watch *watch)
{
    const struct membership *relay = play_membership(watch->population->mn, PLAY_GROUP);
    assert_true(relay->current.epoch < EPOCHS_LIMIT);
    watch->known[relay->current.epoch] = true;
    watch->secrets[relay->current.epoch] = relay->current.secret;
    watch->incarnation = relay->incarnation;
    memcpy(watch->instance, relay->instance, INSTANCE_SIZE);
}

static void publish_note(struct watch *watch, const Groupseal__Secenv__Publish *publish)
{
    if (publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH && publish->payload.len > 0) {
        Groupseal__Envelope__Announcement *news =
            groupseal__envelope__announcement__unpack(NULL, publish->payload.len, publish->payload.data);
        assert_non_null(news);
        packed_note(watch, arena_view(news->top));
        groupseal__envelope__announcement__free_unpacked(news, NULL);
        epoch_note(watch);
    } else if (publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE && publish->payload.len > 0) {
        Groupseal__Envelope__Block *block =
            groupseal__envelope__block__unpack(NULL, publish->payload.len, publish->payload.data);
        assert_non_null(block);
        packed_note(watch, arena_view(block->nodes));
        groupseal__envelope__block__free_unpacked(block, NULL);
    }
}

/* The thief opens what the stolen association opens, and keeps the leaves that it finds. */
static void record_steal(struct watch *watch, struct bytes payload)
{
    struct theft *theft = &watch->theft;
    struct reason why;
    Groupseal__Envelope__EndToEnd *object = NULL;
    Groupseal__Envelope__RecordBody *body = NULL;
    if (carriage_parse(payload, watch->arena, &object, &why) == RESULT_OK &&
        object->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD &&
        association_open(&theft->association, site_store(theft->victim->node), object->record, watch->arena,
                         &body, &why) == RESULT_OK &&
        body->content_case == GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE && theft->leaf_count < 16) {
        assert_int_equal(body->package->leaf_secret.len, SECRET_SIZE);
        memcpy(theft->leaves[theft->leaf_count++].data, body->package->leaf_secret.data, SECRET_SIZE);
    }
    arena_reset(watch->arena);
}

static void watch_message(void *context, struct population *population, const struct site_message *message)
{
    struct watch *watch = context;
    watch->population = population;
    const struct resident *victim = watch->theft.victim;
    if (message->what == SITE_PUBLISH) {
        publish_note(watch, message->publish);
    } else if (victim != NULL && strcmp(message->to, victim->name) == 0) {
        record_steal(watch, message->payload);
    }
}

/* ---- what can be made of it ---- */

static struct closure *watch_closure(const struct watch *watch)
{
    struct closure *closure = closure_new(TREE_LEVELS_HERE);
    for (size_t i = 0; i < watch->wrap_count; i++) {
        closure_wrap(closure, watch->wraps[i]);
    }
    return closure;
}

/* The secret of the epoch is there, or that of a root which it follows from. */
static bool comes_to(const struct watch *watch, const struct closure *closure, uint64_t epoch)
{
    bool comes = closure_knows(closure, &watch->secrets[epoch]);
    for (size_t i = 0; !comes && i < closure_size(closure); i++) {
        struct secret root = closure_secret(closure, i);
        struct secret secret;
        assert_int_equal(epoch_secret(&root, watch->instance, watch->incarnation, epoch, &secret), RESULT_OK);
        comes = memcmp(secret.data, watch->secrets[epoch].data, SECRET_SIZE) == 0;
    }
    return comes;
}

/* The first epoch of `from` … `to` - 1 that it comes to; 0: none. */
static uint64_t comes_to_any(const struct watch *watch, const struct closure *closure, uint64_t from,
                             uint64_t to)
{
    for (uint64_t epoch = from; epoch < to; epoch++) {
        if (watch->known[epoch] && comes_to(watch, closure, epoch)) {
            return epoch;
        }
    }
    return 0;
}

static size_t next_leaver(const struct population *population, uint64_t after)
{
    size_t next = population->resident_count;
    for (size_t i = 0; i < population->resident_count; i++) {
        uint64_t left = population->residents[i].evicted_after;
        if (left != NEVER_EVICTED && left >= after &&
            (next == population->resident_count || left < population->residents[next].evicted_after)) {
            next = i;
        }
    }
    return next;
}

static bool stayers_are_safe(const struct population *population, const struct closure *closure)
{
    for (size_t i = 0; i < population->resident_count; i++) {
        const struct resident *resident = &population->residents[i];
        if (resident->evicted_after == NEVER_EVICTED && ledger_own_is_known(resident->node, closure)) {
            print_message("those who left come to secrets of %s\n", resident->name);
            return false;
        }
    }
    return !ledger_own_is_known(population->mn, closure);
}

/* All together, each from when it left. `own` counts who comes to the last epoch of its own: that is found.
 */
static bool leavers_open_nothing(const struct watch *watch, struct closure *closure, size_t *own)
{
    const struct population *population = watch->population;
    uint64_t after = 0;
    size_t leaver;
    bool done[RESIDENTS_LIMIT] = {false};
    while ((leaver = next_leaver(population, after)) < population->resident_count) {
        after = population->residents[leaver].evicted_after;
        for (size_t i = 0; i < population->resident_count; i++) { /* all of that epoch */
            if (population->residents[i].evicted_after == after && !done[i]) {
                done[i] = true;
                ledger_learn(population->residents[i].node, ledger_count(population->residents[i].node),
                             closure);
                *own += watch->known[after] && comes_to(watch, closure, after);
            }
        }
        uint64_t opened = comes_to_any(watch, closure, after + 1, EPOCHS_LIMIT);
        if (opened != 0) {
            print_message("who left after epoch %llu comes to epoch %llu\n", (unsigned long long)after,
                          (unsigned long long)opened);
            return false;
        }
        after++;
    }
    return stayers_are_safe(population, closure);
}

static void newcomers_open_nothing_older(const struct watch *watch)
{
    const struct population *population = watch->population;
    for (size_t i = 0; i < population->resident_count; i++) {
        if (watch->came[i] != 0) {
            const struct resident *resident = &population->residents[i];
            struct closure *closure = watch_closure(watch);
            ledger_learn(resident->node, ledger_count(resident->node), closure);
            assert_int_equal(comes_to_any(watch, closure, 1, watch->came[i]), 0);
            closure_free(closure);
        }
    }
}

/* Until its next authentication the thief follows; then no more. */
static void thief_opens_nothing_after_the_refresh(const struct watch *watch)
{
    const struct theft *theft = &watch->theft;
    struct closure *closure = watch_closure(watch);
    ledger_learn(theft->victim->node, theft->held, closure);
    for (size_t i = 0; i < theft->leaf_count; i++) {
        closure_learn(closure, &theft->leaves[i]);
    }
    assert_true(comes_to(watch, closure, theft->epoch)); /* it was worth stealing */
    assert_int_equal(comes_to_any(watch, closure, theft->refreshed, EPOCHS_LIMIT), 0);
    closure_free(closure);
}

/* ---- lives ---- */

static const struct membership *membership_here(const struct resident *resident)
{
    const struct identity_state *identity = engine_identity(site_engine(resident->node), resident->name);
    return membership_find(identity, PLAY_GROUP);
}

static void newcomers_note(struct watch *watch, size_t at_first)
{
    for (size_t i = at_first; i < watch->population->resident_count; i++) {
        const struct membership *membership = membership_here(&watch->population->residents[i]);
        if (watch->came[i] == 0 && membership != NULL) {
            watch->came[i] = membership->joined_epoch;
        }
    }
}

/* A leaf that comes when the victim has another association for sure is of that one, or a later one. */
static void refresh_note(struct watch *watch)
{
    struct theft *theft = &watch->theft;
    const struct membership *membership = theft->victim == NULL ? NULL : membership_here(theft->victim);
    if (membership == NULL || theft->refreshed != 0) {
        return;
    }
    const struct association *association = &membership->identity->association;
    if (theft->renewed && membership->joined_epoch > theft->leaf_from) {
        theft->refreshed = membership->joined_epoch;
    } else if (!theft->renewed && memcmp(association->agreement.id, theft->association.agreement.id,
                                         sizeof(association->agreement.id)) != 0) {
        theft->renewed = true;
        theft->leaf_from = membership->joined_epoch;
    }
}

/* All of a member: its secrets so far, and its association. */
static void steal(struct watch *watch, struct resident *victim)
{
    const struct identity_state *identity = engine_identity(site_engine(victim->node), victim->name);
    const struct membership *membership = membership_here(victim);
    if (watch->theft.victim != NULL || membership == NULL || !membership->current.present ||
        !identity->associated || !victim->enrolled) {
        return;
    }
    watch->theft.held = ledger_count(victim->node);
    watch->theft.association = identity->association;
    watch->theft.association.saved = false; /* it has no row */
    watch->theft.epoch = membership->current.epoch;
    watch->theft.victim = victim;
}

static void act(struct watch *watch)
{
    struct population *population = watch->population;
    size_t number = population_random(population, population->resident_count);
    struct resident *resident = &population->residents[number];
    switch (population_random(population, 10)) {
    case 0:
        population_add(population);
        break;
    case 1:
        if (resident->enrolled && resident != watch->theft.victim) {
            population_evict(population, number, population_random(population, 3) != 0);
        }
        break;
    case 2:
        (void)operator_rotate(population->site, PLAY_GROUP);
        break;
    case 3:
        (void)operator_reauthenticate(population->site, resident->name);
        break;
    case 4:
        steal(watch, resident);
        break;
    case 5:
        population_wake(population, number, !resident->awake);
        break;
    case 6:
        population_order(population);
        break;
    default:
        population_speak(population, number);
        break;
    }
}

/* Whoever was stolen authenticates anew. */
static void victim_refresh(struct watch *watch)
{
    struct population *population = watch->population;
    for (unsigned i = 0; i < 3 && watch->theft.victim != NULL && watch->theft.refreshed == 0; i++) {
        (void)operator_reauthenticate(population->site, watch->theft.victim->name);
        population_advance(population, 60000);
        population_rest(population);
        refresh_note(watch);
    }
    assert_true(watch->theft.victim == NULL || watch->theft.refreshed != 0);
    (void)operator_rotate(population->site, PLAY_GROUP);
    population_rest(population);
}

static void watch_free(struct watch *watch)
{
    population_observe(NULL, NULL);
    population_free(watch->population);
    ledgers_clear();
    free(watch->wraps);
    arena_free(watch->arena);
    free(watch);
}

struct sum {
    size_t left;
    size_t own;
    size_t came;
    size_t stolen;
};

static void site_live(uint64_t seed, struct sum *sum)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    assert_non_null(watch);
    watch->arena = arena_new(1u << 20);
    random_source_start(seed);
    population_observe(watch_message, watch);
    watch->population = population_new(seed, SIZE);
    size_t at_first = watch->population->resident_count;
    watch->population->upset = seed % 2 == 0;
    for (unsigned i = 0; i < STEPS; i++) {
        act(watch);
        population_advance(watch->population, population_random(watch->population, 1500));
        newcomers_note(watch, at_first);
        refresh_note(watch);
    }
    population_rest(watch->population);
    refresh_note(watch);
    victim_refresh(watch);

    struct closure *closure = watch_closure(watch);
    assert_true(leavers_open_nothing(watch, closure, &sum->own));
    closure_free(closure);
    newcomers_open_nothing_older(watch);
    if (watch->theft.victim != NULL) {
        thief_opens_nothing_after_the_refresh(watch);
        sum->stolen++;
    }
    for (size_t i = 0; i < watch->population->resident_count; i++) {
        sum->left += watch->population->residents[i].evicted_after != NEVER_EVICTED;
        sum->came += watch->came[i] != 0;
    }
    watch_free(watch);
}

static void nobody_opens_what_is_not_theirs(void **state)
{
    struct sum sum = {.left = 0};
    (void)state;
    print_message("%llu sites, --seed %llu\n", (unsigned long long)options.count,
                  (unsigned long long)options.seed);
    for (uint64_t seed = options.seed; seed < options.seed + options.count; seed++) {
        playing = seed;
        site_live(seed, &sum);
    }
    playing = 0;
    print_message("%zu left, %zu of them came to their last epoch; %zu came, %zu were stolen from\n",
                  sum.left, sum.own, sum.came, sum.stolen);
    assert_true(options.count < DEFAULT_COUNT || (sum.own > 0 && sum.came > 0 && sum.stolen > 0));
}

/* ---- a leak, planted: it is found ---- */

static void leak_is_found(void **state)
{
    (void)state;
    for (int planted = 0; planted < 2; planted++) {
        struct sum sum = {.left = 0};
        struct watch *watch = calloc(1, sizeof(*watch));
        assert_non_null(watch);
        watch->arena = arena_new(1u << 20);
        random_source_start(1);
        population_observe(watch_message, watch);
        watch->population = population_new(1, 4);
        struct resident *leaver = &watch->population->residents[0];
        struct secret leaf = membership_here(leaver)->leaf;
        population_evict(watch->population, 0, true);
        population_rest(watch->population);
        struct closure *closure = watch_closure(watch);
        /* Somebody wraps the newest epoch secret for who left; or for who stayed. */
        uint8_t wrap[WRAP_SIZE];
        struct secret key;
        const struct membership *stayer = membership_here(&watch->population->residents[1]);
        assert_int_equal(kdf_label(planted != 0 ? &leaf : &stayer->leaf, "key", &key), RESULT_OK);
        assert_int_equal(keywrap_wrap(&key, &stayer->current.secret, wrap), RESULT_OK);
        closure_wrap(closure, wrap);
        assert_int_equal(leavers_open_nothing(watch, closure, &sum.own), planted == 0);
        assert_int_equal(sum.own, 1);
        closure_free(closure);
        watch_free(watch);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leak_is_found),
        cmocka_unit_test_teardown(nobody_opens_what_is_not_theirs, seed_say),
    };
    options = schedule_options_read(argc, argv, DEFAULT_COUNT);
    log_threshold(LOG_LEVEL_ALARM);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
