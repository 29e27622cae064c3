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
#include "secenv/member/packed.h"
#include "tests/schedules/population.h"
#include "tests/schedules/population_authority.h"
#include "tests/schedules/population_parts.h"
#include "tests/unit/operator.h"

#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define OWNER_CONNECTION 1u
#define VALID_MS 3600000u

uint64_t population_random(struct population *population, uint64_t below)
{
    population->random ^= population->random << 13; /* xorshift */
    population->random ^= population->random >> 7;
    population->random ^= population->random << 17;
    return (population->random >> 11) % below;
}

/* ---- making ---- */

static void group_make(struct population *population)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)SITE_MN_CSE};
    group.name = (char *)(uintptr_t)PLAY_GROUP;
    group.function = (char *)(uintptr_t) "door";
    group.sites = sites;
    group.n_sites = 1;
    group.sign_member_messages = true;
    assert_int_equal(operator_create(population->site, &group), CODE(OK));
}

struct population *population_new(uint64_t seed, size_t size)
{
    struct population *population = calloc(1, sizeof(*population));
    assert_non_null(population);
    assert_true(size <= RESIDENTS_LIMIT);
    population->random = seed * 0x9e3779b97f4a7c15u + 1u;
    population->size = size;
    population->site = site_new();
    population->mn = site_join(population->site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_PSK, NULL, NULL);
    group_make(population);
    network_start(population);
    for (size_t i = 0; i < size - size / 4; i++) {
        population_add(population);
    }
    population_advance(population, 1000);
    return population;
}

void record_forget(struct population *population)
{
    for (size_t i = 0; i < population->resident_count; i++) {
        struct resident *resident = &population->residents[i];
        free(resident->runs);
        resident->runs = NULL;
        resident->run_count = 0;
        resident->read = 0;
        site_events_clear(resident->node);
    }
    site_events_clear(population->mn);
    site_events_clear(site_authority(population->site));
    population->mn_read = 0;
    free(population->orders);
    free(population->said);
    population->orders = NULL;
    population->order_count = 0;
    population->said = NULL;
    population->said_count = 0;
}

void population_free(struct population *population)
{
    record_forget(population);
    network_end(population);
    site_free(population->site);
    free(population);
}

/* ---- the operator ---- */

static void resident_name(size_t number, char out[NAME_LIMIT + 1])
{
    (void)snprintf(out, NAME_LIMIT + 1, "//sp.example/Sdoor%zu", number + 1);
}

void population_enrol(struct population *population, size_t number)
{
    struct resident *resident = &population->residents[number];
    struct new_member member;
    new_member_init(&member, resident->name, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    Groupseal__Secenv__NewMember *members[] = {&member.member};
    Groupseal__Secenv__Code code = operator_add(population->site, members, 1);
    resident->enrolled = true;
    resident->deaf = false;
    resident->evicted_after = NEVER_EVICTED;
    resident->enrolled_after = authority_epoch_of(population->site, PLAY_GROUP);
    resident->member_since = ++population->step; /* a command of before is not for it */
    resident->asked = code == CODE(STORE);       /* no answer: the operator asks again, which may be twice */
    if (!resident->asked && code != CODE(OK) && code != CODE(EXISTS)) {
        fail_msg("adding %s: code %d", resident->name, (int)code);
    }
}

/* What it said and has not arrived, nobody has to take. */
static void said_excuse(struct population *population, size_t number)
{
    for (size_t i = 0; i < population->said_count; i++) {
        struct said_record *said = &population->said[i];
        said->excused = said->excused || (!said->heard && said->speaker == number);
    }
}

void population_evict(struct population *population, size_t number, bool deaf)
{
    struct resident *resident = &population->residents[number];
    uint64_t epoch = authority_epoch_of(population->site, PLAY_GROUP);
    Groupseal__Secenv__Code code = operator_evict(population->site, resident->name);
    resident->enrolled = false;
    resident->deaf = resident->deaf || deaf;
    resident->asked = code == CODE(STORE);
    if (!resident->asked) {
        resident->evicted_after = epoch;
    }
    said_excuse(population, number);
    if (!resident->asked && code != CODE(OK) && code != CODE(UNKNOWN)) {
        fail_msg("evicting %s: code %d", resident->name, (int)code);
    }
}

void population_add(struct population *population)
{
    size_t number = population->resident_count;
    if (number == population->size) {
        return;
    }
    struct resident *resident = &population->residents[population->resident_count++];
    *resident = (struct resident){.awake = true, .evicted_after = NEVER_EVICTED};
    resident_name(number, resident->name);
    resident->node = site_provision(population->site, resident->name, IDENTITY_ADN_AE, CREDENTIALS_PSK);
    population_enrol(population, number);
    site_online(resident->node, true);
}

/* ---- commands and messages ---- */

/* NULL: it has none, or is down. */
static const struct membership *membership_of(struct site_node *node)
{
    const struct identity_state *identity =
        site_down(node) ? NULL : engine_identity(site_engine(node), site_name(node));
    return identity == NULL ? NULL : membership_find(identity, PLAY_GROUP);
}

/* Those that the MN-CSE knows as they know themselves: it waits for their answers. */
static uint32_t members_now(const struct population *population)
{
    uint32_t members = 0;
    const struct membership *relay = membership_of(population->mn);
    for (size_t i = 0; relay != NULL && i < population->resident_count; i++) {
        const struct resident *resident = &population->residents[i];
        const struct membership *membership = membership_of(resident->node);
        const struct roster_member *member = roster_find(relay->relay, resident->name);
        if (resident->enrolled && membership != NULL && member != NULL &&
            member->serial == membership->serial) {
            members |= 1u << i;
        }
    }
    return members;
}

static void order_note(struct population *population, const Groupseal__Secenv__Reply *reply, bool own)
{
    if (reply->code != CODE(OK)) {
        return; /* lost, or not ready: who asked knows that it may not have been done */
    }
    population->orders =
        realloc(population->orders, (population->order_count + 1) * sizeof(*population->orders));
    assert_non_null(population->orders);
    struct order_record *order = &population->orders[population->order_count++];
    /* From which epoch on the MN-CSE has to seal it: nobody who was evicted before may read it. */
    const struct membership *relay = membership_of(population->mn);
    uint64_t relays = relay == NULL ? 0 : relay->current.epoch;
    *order = (struct order_record){.own = own,
                                   .step = population->step,
                                   .epoch = own ? relays : authority_epoch_of(population->site, PLAY_GROUP),
                                   .owed = members_now(population)};
    assert_int_equal(reply->order->command_id.len, COMMAND_ID_SIZE);
    memcpy(order->id, reply->order->command_id.data, COMMAND_ID_SIZE);
}

void population_order(struct population *population)
{
    Groupseal__Secenv__Reply *reply =
        operator_order(population->site, PLAY_GROUP, "close", NULL, 0, VALID_MS);
    order_note(population, reply, false);
    site_reply_free(reply);
}

void population_command(struct population *population)
{
    Groupseal__Secenv__Reply *reply = play_own_command(population->mn, "open", VALID_MS);
    order_note(population, reply, true);
    site_reply_free(reply);
}

/* Who has a key from which the speaker was evicted already: may not take what it says. */
static uint32_t forbidden_to(const struct population *population, const struct resident *speaker)
{
    uint32_t forbidden = 0;
    for (size_t i = 0; i <= population->resident_count; i++) {
        bool mn = i == population->resident_count;
        const struct membership *membership =
            membership_of(mn ? population->mn : population->residents[i].node);
        if (speaker->evicted_after != NEVER_EVICTED && membership != NULL && membership->current.present &&
            membership->current.epoch > speaker->evicted_after) {
            forbidden |= mn ? MN_BIT : 1u << i;
        }
    }
    return forbidden;
}

void population_speak(struct population *population, size_t number)
{
    struct resident *resident = &population->residents[number];
    const struct membership *membership = membership_of(resident->node);
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    char body[32];
    if (!resident->awake || membership == NULL) {
        return;
    }
    struct said_record said = {.speaker = number,
                               .epoch = membership->current.epoch,
                               .excused = !resident->enrolled || resident->asked ||
                                          membership->joined_epoch <= resident->enrolled_after,
                               .forbidden = forbidden_to(population, resident)};
    (void)snprintf(body, sizeof(body), "smoke %zu", population->said_count);
    speak.identity = resident->name;
    speak.group = (char *)(uintptr_t)PLAY_GROUP;
    speak.body = arena_field(bytes_of_text(body));
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    Groupseal__Secenv__Reply *reply = site_request(resident->node, SOCKET_OWNER, OWNER_CONNECTION, &request);
    if (reply->code == CODE(OK)) {
        population->said = realloc(population->said, (population->said_count + 1) * sizeof(said));
        assert_non_null(population->said);
        population->said[population->said_count++] = said;
        population->spoken_evicted += said.forbidden != 0;
        network_publish(population, resident, reply->spoken);
    }
    site_reply_free(reply);
}

/* ---- what breaks down ---- */

void population_wake(struct population *population, size_t number, bool awake)
{
    struct resident *resident = &population->residents[number];
    if (resident->awake == awake) {
        return;
    }
    resident->awake = awake;
    site_online(resident->node, awake);
}

void population_cut(struct population *population)
{
    size_t node = population_random(population, population->resident_count + 3);
    struct site_node *cut = node < population->resident_count    ? population->residents[node].node
                            : node == population->resident_count ? site_authority(population->site)
                                                                 : population->mn;
    if (site_down(cut)) {
        return;
    }
    site_cut(cut, (enum power_loss)population_random(population, POWER_LOSSES),
             population_random(population, population_random(population, 2) == 0 ? 12 : 80),
             population_random(population, UINT64_MAX));
}

static void everything_excuse(struct population *population)
{
    for (size_t i = 0; i < population->said_count; i++) {
        population->said[i].excused = population->said[i].excused || !population->said[i].heard;
    }
}

static void node_raise(struct population *population, struct site_node *node, bool online)
{
    if (!site_down(node)) {
        power_disarm(site_power(node));
        return;
    }
    population->cuts++;
    everything_excuse(population); /* it may have been on its way from or to it */
    site_reopen(node);
    site_online(node, online);
}

void population_raise(struct population *population)
{
    applications_work(population);
    node_raise(population, site_authority(population->site), true);
    node_raise(population, population->mn, true);
    for (size_t i = 0; i < population->resident_count; i++) {
        struct resident *resident = &population->residents[i];
        resident->fell = site_down(resident->node) ? population->step + 1 : resident->fell;
        node_raise(population, resident->node, resident->awake);
    }
}

void population_broker_crash(struct population *population)
{
    applications_work(population);
    everything_excuse(population);
    site_broker_crash(population->site);
    network_forget(population);
    population->brokers++;
    site_owner_lost(population->mn); /* it is in the broker */
    for (size_t i = 0; i < population->resident_count; i++) {
        struct resident *resident = &population->residents[i];
        if (!site_down(resident->node) && resident->awake) {
            site_online(resident->node, false);
        }
    }
    if (!site_down(population->mn)) {
        site_online(population->mn, true);
    }
    for (size_t i = 0; i < population->resident_count; i++) {
        struct resident *resident = &population->residents[i];
        if (!site_down(resident->node) && resident->awake) {
            site_online(resident->node, true);
        }
    }
}

void population_advance(struct population *population, uint64_t ms)
{
    population->step++;
    network_release(population);
    site_settle(population->site);
    applications_work(population);
    site_advance(population->site, ms);
    network_release(population);
    site_settle(population->site);
    applications_work(population);
}
