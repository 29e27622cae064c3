/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secenv/member/packed.h"
#include "tests/schedules/population_authority.h"
#include "tests/schedules/population_parts.h"
#include "tests/unit/operator.h"

#define CODE(name_) GROUPSEAL__SECENV__CODE__##name_
#define OUTCOME(name_) GROUPSEAL__SECENV__OUTCOME__##name_
#define REST_STEPS 180u
#define REST_STEP_MS 10000u

/* ---- applications ---- */

static const struct order_record *order_find(const struct population *population, const uint8_t *id)
{
    for (size_t i = 0; i < population->order_count; i++) {
        if (memcmp(population->orders[i].id, id, COMMAND_ID_SIZE) == 0) {
            return &population->orders[i];
        }
    }
    return NULL;
}

static struct command_run *run_find(const struct resident *resident, const uint8_t *id)
{
    for (size_t i = 0; i < resident->run_count; i++) {
        if (memcmp(resident->runs[i].id, id, COMMAND_ID_SIZE) == 0) {
            return &resident->runs[i];
        }
    }
    return NULL;
}

static void command_run(struct population *population, struct resident *resident,
                        const Groupseal__Secenv__CommandEvent *command)
{
    assert_int_equal(command->command_id.len, COMMAND_ID_SIZE);
    struct command_run *run = run_find(resident, command->command_id.data);
    const struct order_record *order = order_find(population, command->command_id.data);
    if (run == NULL) {
        resident->runs = realloc(resident->runs, (resident->run_count + 1) * sizeof(*resident->runs));
        assert_non_null(resident->runs);
        run = &resident->runs[resident->run_count++];
        *run = (struct command_run){.finishing = true, .done = population_random(population, 4) != 0};
        memcpy(run->id, command->command_id.data, COMMAND_ID_SIZE);
    }
    if (++run->times > 1) {
        fail_msg("%s ran a command %u times", resident->name, run->times);
    }
    if (order != NULL && order->epoch > resident->evicted_after) {
        fail_msg("%s, evicted after epoch %llu, ran a command ordered in epoch %llu", resident->name,
                 (unsigned long long)resident->evicted_after, (unsigned long long)order->epoch);
    }
}

static struct said_record *said_of(struct population *population,
                                   const Groupseal__Secenv__MessageEvent *message)
{
    char text[32] = "";
    assert_true(message->body.len < sizeof(text));
    memcpy(text, message->body.data, message->body.len);
    size_t number = strtoul(text + strlen("smoke "), NULL, 10);
    /* An earlier schedule's, that was late: what must hold of it was looked at then. */
    return number < population->said_count ? &population->said[number] : NULL;
}

static void message_hear(struct population *population, uint32_t hearer,
                         const Groupseal__Secenv__MessageEvent *message)
{
    struct said_record *said = said_of(population, message);
    if (said == NULL) {
        return;
    }
    const struct resident *speaker = &population->residents[said->speaker];
    assert_string_equal(message->sender, speaker->name);
    if ((said->forbidden & hearer) != 0) {
        fail_msg("%s took what %s said in epoch %llu, evicted after %llu",
                 hearer == MN_BIT ? "the MN-CSE" : "a device", speaker->name, (unsigned long long)said->epoch,
                 (unsigned long long)speaker->evicted_after);
    }
    if (hearer == MN_BIT) {
        assert_true(message->proven);
        if (said->heard) {
            fail_msg("the MN-CSE took a message of %s twice", speaker->name);
        }
        said->heard = true;
        population->messages_heard++;
    }
}

static void resident_read(struct population *population, size_t number)
{
    struct resident *resident = &population->residents[number];
    while (resident->read < site_event_count(resident->node)) {
        const Groupseal__Secenv__Event *event = site_event(resident->node, resident->read++);
        if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND) {
            command_run(population, resident, event->command);
        } else if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE) {
            message_hear(population, 1u << number, event->message);
        }
    }
}

static void resident_finish(struct population *population, struct resident *resident)
{
    for (size_t i = 0; i < resident->run_count && !site_down(resident->node); i++) {
        struct command_run *run = &resident->runs[i];
        if (run->finishing && (!population->upset || population_random(population, 4) != 0)) {
            run->finishing =
                play_finish(resident->node, run->id, run->done, run->done ? "" : "stuck") == CODE(STORE);
        }
    }
}

static bool machine_off(struct site_node *node)
{
    return site_down(node) && power_loss_of(site_power(node)) != POWER_KILL;
}

/* What it was told before its machine was off, and did not read, it will never know of. */
static void application_end(struct resident *resident)
{
    resident->read = site_event_count(resident->node);
    for (size_t i = 0; i < resident->run_count; i++) {
        resident->runs[i].finishing = false;
    }
}

static void relay_read(struct population *population)
{
    while (population->mn_read < site_event_count(population->mn)) {
        const Groupseal__Secenv__Event *event = site_event(population->mn, population->mn_read++);
        if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE) {
            message_hear(population, MN_BIT, event->message);
        }
    }
}

void applications_work(struct population *population)
{
    relay_read(population);
    for (size_t i = 0; i < population->resident_count; i++) {
        struct resident *resident = &population->residents[i];
        if (machine_off(resident->node)) {
            application_end(resident);
        } else {
            resident_read(population, i);
            resident_finish(population, resident);
        }
    }
}

/* ---- commands ---- */

static Groupseal__Secenv__Reply *report_of(struct population *population, const struct order_record *order)
{
    Groupseal__Secenv__Reply *reply =
        order->own ? play_own_shown(population->mn, order->id, 0)
                   : operator_order_show(population->site, (struct bytes){order->id, COMMAND_ID_SIZE});
    if (reply->code != CODE(OK)) {
        fail_msg("a command that was taken is forgotten: %s", reply->reason);
    }
    return reply;
}

/* A member when it was given, and ever since. */
static bool is_owed(const struct population *population, size_t number, const struct order_record *order)
{
    const struct resident *resident = &population->residents[number];
    return (order->owed & 1u << number) != 0 && resident->enrolled && resident->member_since <= order->step;
}

static bool row_ended(const Groupseal__Secenv__OrderRow *row)
{
    return row != NULL && (row->outcome == OUTCOME(DONE) || row->outcome == OUTCOME(FAILED) ||
                           row->outcome == OUTCOME(NOT_KNOWN));
}

/* `complain`: says who has not answered. */
static bool order_ended(struct population *population, const struct order_record *order, bool complain)
{
    bool ended = true;
    Groupseal__Secenv__Reply *reply = report_of(population, order);
    for (size_t i = 0; i < population->resident_count; i++) {
        const Groupseal__Secenv__OrderRow *row = play_row(reply->report, population->residents[i].name);
        if (is_owed(population, i, order) && !row_ended(row)) {
            ended = false;
            if (complain) {
                print_message("%s command of epoch %llu: %s %d \"%s\"; run %u times; refused \"%s\"\n",
                              order->own ? "MN-CSE's" : "authority's", (unsigned long long)order->epoch,
                              population->residents[i].name, row == NULL ? -1 : (int)row->outcome,
                              row == NULL ? "" : row->detail,
                              run_find(&population->residents[i], order->id) != NULL ? 1u : 0u,
                              reply->report->refused);
            }
        }
    }
    site_reply_free(reply);
    return ended;
}

/* Said to have ended so, and so it was; not known is only what a machine forgot that broke down. */
static void ending_check(struct population *population, const struct order_record *order)
{
    Groupseal__Secenv__Reply *reply = report_of(population, order);
    for (size_t i = 0; i < population->resident_count; i++) {
        const struct resident *resident = &population->residents[i];
        const struct command_run *run = run_find(resident, order->id);
        const Groupseal__Secenv__OrderRow *row = play_row(reply->report, resident->name);
        if (!is_owed(population, i, order)) {
            continue;
        }
        population->orders_ended++;
        if (row->outcome == OUTCOME(NOT_KNOWN)) {
            assert_true(resident->fell > order->step);
        } else {
            assert_non_null(run);
            assert_int_equal(row->outcome, run->done ? OUTCOME(DONE) : OUTCOME(FAILED));
        }
    }
    site_reply_free(reply);
}

/* ---- keys ---- */

static const struct membership *membership_of(struct site_node *node)
{
    const struct identity_state *identity = engine_identity(site_engine(node), site_name(node));
    return identity == NULL ? NULL : membership_find(identity, PLAY_GROUP);
}

static bool has_key(struct population *population, struct site_node *node, const struct secret *secret)
{
    const struct membership *membership = membership_of(node);
    return membership != NULL && membership->current.present &&
           membership->current.epoch == authority_epoch_of(population->site, PLAY_GROUP) &&
           memcmp(membership->current.secret.data, secret->data, SECRET_SIZE) == 0;
}

static bool resident_is_right(struct population *population, const struct resident *resident,
                              const struct secret *secret)
{
    const struct membership *membership = membership_of(resident->node);
    if (resident->enrolled) {
        return has_key(population, resident->node, secret) && membership->sites[0].synchronised;
    }
    /* Whom nobody could tell has old keys. */
    return membership == NULL || !membership->current.present ||
           membership->current.epoch <= resident->evicted_after;
}

static bool all_is_right(struct population *population)
{
    struct secret secret;
    if (!authority_epoch_secret_of(population->site, PLAY_GROUP, &secret) ||
        !has_key(population, population->mn, &secret)) {
        return false;
    }
    for (size_t i = 0; i < population->resident_count; i++) {
        if (!resident_is_right(population, &population->residents[i], &secret)) {
            return false;
        }
    }
    for (size_t i = 0; i < population->order_count; i++) {
        if (!order_ended(population, &population->orders[i], false)) {
            return false;
        }
    }
    return !network_holds(population);
}

static void complain(struct population *population)
{
    struct secret secret = {{0}};
    bool known = authority_epoch_secret_of(population->site, PLAY_GROUP, &secret);
    const struct membership *relay = membership_of(population->mn);
    print_message("authority: epoch %llu; MN-CSE: %llu, %s\n",
                  (unsigned long long)authority_epoch_of(population->site, PLAY_GROUP),
                  relay == NULL ? 0ull : (unsigned long long)relay->current.epoch,
                  known && has_key(population, population->mn, &secret) ? "right" : "WRONG");
    for (size_t i = 0; i < population->resident_count; i++) {
        const struct resident *resident = &population->residents[i];
        const struct membership *membership = membership_of(resident->node);
        print_message("%s, %s%s: epoch %llu, %s\n", resident->name,
                      resident->enrolled ? "enrolled" : "evicted", resident->deaf ? ", deaf" : "",
                      membership == NULL ? 0ull : (unsigned long long)membership->current.epoch,
                      resident_is_right(population, resident, &secret) ? "right" : "WRONG");
    }
    for (size_t i = 0; i < population->order_count; i++) {
        (void)order_ended(population, &population->orders[i], true);
    }
    fail_msg("the population does not come to rest");
}

/* ---- messages ---- */

static void messages_check(struct population *population)
{
    for (size_t i = 0; i < population->said_count; i++) {
        const struct said_record *said = &population->said[i];
        if (said->heard || said->excused) {
            population->messages_excused += !said->heard;
        } else if (said->too_old) {
            population->messages_too_old++;
        } else {
            fail_msg("what %s said in epoch %llu never came to the MN-CSE",
                     population->residents[said->speaker].name, (unsigned long long)said->epoch);
        }
    }
}

/* ---- rest ---- */

static void everything_works(struct population *population)
{
    population->upset = false;
    population_raise(population);
    assert_false(site_down(site_authority(population->site)));
    assert_false(site_down(population->mn));
    site_online(site_authority(population->site), true);
    for (size_t i = 0; i < population->resident_count; i++) {
        struct resident *resident = &population->residents[i];
        assert_false(site_down(resident->node));
        population_wake(population, i, true);
        if (resident->asked && resident->enrolled) {
            population_enrol(population, i);
        } else if (resident->asked) {
            population_evict(population, i, resident->deaf);
        }
    }
}

void population_rest(struct population *population)
{
    everything_works(population);
    population_advance(population, REST_STEP_MS / 2);
    for (unsigned i = 0; i < REST_STEPS && !all_is_right(population); i++) {
        population_advance(population, REST_STEP_MS);
    }
    if (!all_is_right(population)) {
        complain(population);
    }
    for (size_t i = 0; i < population->order_count; i++) {
        ending_check(population, &population->orders[i]);
    }
    messages_check(population);
    population->changes = authority_epoch_of(population->site, PLAY_GROUP);
    record_forget(population);
}
