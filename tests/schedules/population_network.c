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
#include "tests/schedules/population_parts.h"

/*
 * MQTT keeps the order of what one client publishes to another with QoS 1: behind one that is late, the
 * others of that pair are late, too.
 */
#define LATE_MS 4000u
#define QUEUE_LIMIT 64u /* for one who sleeps; beyond it the broker drops */

#define TOPIC(name_) GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_##name_

struct held {
    Groupseal__Secenv__Publish *publish;
    char from[NAME_LIMIT + 1];
    struct site_node *to;
    uint64_t due_ms;
};

static bool is_ordered(const struct site_message *message)
{
    return message->publish->kind == TOPIC(COMMAND) || message->publish->kind == TOPIC(MESSAGE) ||
           message->publish->kind == TOPIC(ACK);
}

static struct resident *resident_of(struct population *population, const char *name)
{
    for (size_t i = 0; i < population->resident_count; i++) {
        if (strcmp(population->residents[i].name, name) == 0) {
            return &population->residents[i];
        }
    }
    return NULL;
}

/* ---- QoS 1 ---- */

/* When the last one of the pair arrives; 0: none is under way. */
static uint64_t pair_due(const struct population *population, const char *from, const struct site_node *to,
                         size_t *count)
{
    uint64_t due = 0;
    *count = 0;
    for (size_t i = 0; i < population->held_count; i++) {
        if (population->held[i].to == to && strcmp(population->held[i].from, from) == 0) {
            due = population->held[i].due_ms;
            (*count)++;
        }
    }
    return due;
}

static void hold_back(struct population *population, const struct site_message *message, uint64_t due_ms)
{
    population->held = realloc(population->held, (population->held_count + 1) * sizeof(*population->held));
    assert_non_null(population->held);
    struct held *held = &population->held[population->held_count++];
    *held = (struct held){.publish = site_publish_copy(message->publish),
                          .to = site_find(population->site, message->to),
                          .due_ms = due_ms};
    (void)snprintf(held->from, sizeof(held->from), "%s", message->from);
}

/* The MN-CSE has, or will have, the key of this epoch. */
static bool key_is_kept(struct population *population, uint64_t epoch)
{
    const struct membership *relay = play_membership(population->mn, PLAY_GROUP);
    return membership_epoch_age(relay, epoch) != EPOCH_GONE ||
           past_epochs_find(&relay->relay->past, epoch) != NULL;
}

/* It arrives at the MN-CSE, which has gone on by more keys than it keeps: it cannot read it. */
static void age_note(struct population *population, const Groupseal__Secenv__Publish *publish)
{
    Groupseal__Envelope__Sealed *sealed =
        groupseal__envelope__sealed__unpack(NULL, publish->payload.len, publish->payload.data);
    const struct resident *speaker = resident_of(population, publish->sender);
    assert_non_null(sealed);
    assert_non_null(speaker);
    if (!site_down(population->mn) && !key_is_kept(population, sealed->epoch)) {
        for (size_t i = 0; i < population->said_count; i++) {
            struct said_record *said = &population->said[i];
            said->too_old = said->too_old || (!said->heard && said->epoch == sealed->epoch &&
                                              &population->residents[said->speaker] == speaker);
        }
    }
    groupseal__envelope__sealed__free_unpacked(sealed, NULL);
}

static void arrival_note(struct population *population, const struct site_node *to,
                         const Groupseal__Secenv__Publish *publish)
{
    if (to == population->mn && publish->kind == TOPIC(MESSAGE)) {
        age_note(population, publish);
    }
}

/* Of a member message, LOSE: it is held back, or lost with who sleeps. */
static enum site_fate ordered_fate(struct population *population, const struct site_message *message)
{
    size_t waiting;
    const struct site_node *to = site_find(population->site, message->to);
    const struct resident *resident = resident_of(population, message->to);
    uint64_t now = site_now_ms(population->site);
    uint64_t due = pair_due(population, message->from, to, &waiting);
    bool sleeps = resident != NULL && !resident->awake;
    if (sleeps && (message->publish->kind != TOPIC(COMMAND) || waiting >= QUEUE_LIMIT)) {
        return SITE_LOSE;
    }
    if (sleeps || waiting > 0) {
        hold_back(population, message, due < now ? now : due);
        return SITE_LOSE;
    }
    if (population->upset && population_random(population, 6) == 0) {
        hold_back(population, message, now + population_random(population, LATE_MS));
        return SITE_LOSE;
    }
    return population->upset && population_random(population, 10) == 0 ? SITE_TWICE : SITE_DELIVER;
}

static void publish_to(struct population *population, const Groupseal__Secenv__Publish *publish,
                       const struct site_node *to)
{
    struct site_message message = {
        .what = SITE_PUBLISH, .from = publish->sender, .to = site_name(to), .publish = publish};
    enum site_fate fate = ordered_fate(population, &message);
    uint64_t now = site_now_ms(population->site);
    for (unsigned i = 0; fate != SITE_LOSE && i < (fate == SITE_TWICE ? 2u : 1u); i++) {
        hold_back(population, &message, now); /* behind what is on its way now */
    }
}

void network_publish(struct population *population, const struct resident *from,
                     const Groupseal__Secenv__Spoken *spoken)
{
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = spoken->site;
    publish.group = (char *)(uintptr_t)PLAY_GROUP;
    publish.kind = TOPIC(MESSAGE);
    publish.sender = (char *)(uintptr_t)from->name;
    publish.payload = spoken->payload;
    publish_to(population, &publish, population->mn);
    for (size_t i = 0; i < population->resident_count; i++) {
        if (&population->residents[i] != from) {
            publish_to(population, &publish, population->residents[i].node);
        }
    }
}

void network_release(struct population *population)
{
    uint64_t now = site_now_ms(population->site);
    size_t kept = 0;
    for (size_t i = 0; i < population->held_count; i++) {
        struct held *held = &population->held[i];
        const struct resident *resident = resident_of(population, site_name(held->to));
        bool sleeps = site_down(held->to) || (resident != NULL && !resident->awake);
        if (held->due_ms > now || sleeps) {
            population->held[kept++] = *held;
            continue;
        }
        arrival_note(population, held->to, held->publish);
        (void)site_hear(held->to, held->publish, false);
        groupseal__secenv__publish__free_unpacked(held->publish, NULL);
    }
    population->held_count = kept;
}

void network_forget(struct population *population)
{
    for (size_t i = 0; i < population->held_count; i++) {
        groupseal__secenv__publish__free_unpacked(population->held[i].publish, NULL);
    }
    free(population->held);
    population->held = NULL;
    population->held_count = 0;
}

bool network_holds(const struct population *population)
{
    return population->held_count > 0;
}

/* ---- all the rest ---- */

static enum site_fate loose_fate(struct population *population)
{
    if (!population->upset) {
        return SITE_DELIVER;
    }
    switch (population_random(population, 16)) {
    case 0:
        return SITE_LOSE;
    case 1:
        return SITE_DROP;
    case 2:
        return SITE_TWICE;
    case 3:
    case 4:
        return SITE_LATER;
    default:
        return SITE_DELIVER;
    }
}

static population_observer observer;
static void *observer_context;

void population_observe(population_observer hears, void *context)
{
    observer = hears;
    observer_context = context;
}

static enum site_fate fate(void *context, const struct site_message *message)
{
    struct population *population = context;
    if (observer != NULL) {
        observer(observer_context, population, message);
    }
    const struct resident *to = resident_of(population, message->to);
    if (message->what == SITE_PUBLISH && is_ordered(message)) {
        return ordered_fate(population, message);
    }
    if (to != NULL && to->deaf && message->what != SITE_PUBLISH) {
        return SITE_LOSE;
    }
    return loose_fate(population);
}

void network_start(struct population *population)
{
    site_carry(population->site, fate, population);
}

void network_end(struct population *population)
{
    site_carry(population->site, NULL, NULL);
    network_forget(population);
}
