/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_recover MEMBERS MISSED
 *
 * What a device needs that slept through MISSED changes of a group of MEMBERS: the retained messages of the
 * key tree that the broker gives it when it subscribes (the announcement and the blocks on its path), their
 * payloads' bytes, and the time of its secure environment from the first of them to the current key. It was
 * switched off, and says nothing to the IN-CSE: otherwise the benchmark fails. Each change evicts one member;
 * they are spread over the whole tree, the device's neighbours among them. The policy is retained too, and
 * the same whatever was missed: its bytes are named apart.
 *
 * Engines and stores are the real ones, in one process (tests/bench/large_group.h).
 */
#include "tests/bench/large_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NEIGHBOURS                                                                                           \
    8u /* of the device, that are evicted last: every block on its path is another one then                  \
        */

struct bench {
    struct large_group large;
    struct site_node *device;
    bool awake;
    size_t messages;
    size_t bytes;
    size_t policy_bytes;
    size_t asked; /* objects that the device has sent */
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static enum site_fate listen(void *context, const struct site_message *message)
{
    struct bench *bench = context;
    const char *device = bench->device == NULL ? "" : site_name(bench->device);
    if (bench->awake && message->what == SITE_OBJECT && strcmp(message->from, device) == 0) {
        bench->asked++;
    }
    if (!bench->awake || message->what != SITE_PUBLISH || strcmp(message->to, device) != 0) {
        return SITE_DELIVER;
    }
    switch (message->publish->kind) {
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_EPOCH:
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE:
        bench->messages++;
        bench->bytes += message->payload.length;
        break;
    case GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_POLICY:
        bench->policy_bytes += message->payload.length;
        break;
    default:
        break;
    }
    return SITE_DELIVER;
}

/* The leaf whose member leaves with change `number`: first they are spread, then near. The device's is 1. */
static uint32_t leaf_of(size_t members, size_t missed, size_t number)
{
    size_t near = missed < NEIGHBOURS ? missed : NEIGHBOURS;
    if (number >= missed - near) {
        return (uint32_t)(2 + number - (missed - near));
    }
    return (uint32_t)(2 + NEIGHBOURS + number * ((members - 2 - NEIGHBOURS) / missed));
}

static void changes_miss(struct bench *bench, size_t members, size_t missed)
{
    large_group_hurry(&bench->large, true);
    for (size_t i = 0; i < missed; i++) {
        char name[1][NAME_LIMIT + 1];
        large_group_member_at(&bench->large, leaf_of(members, missed, i), name[0]);
        (void)large_group_evict(&bench->large, name, 1);
        if ((i + 1) % 1000 == 0) {
            (void)fprintf(stderr, "%zu changes\n", i + 1);
        }
    }
    large_group_hurry(&bench->large, false);
}

/* Until it has the key; returns how long that took. */
static double device_wake(struct bench *bench)
{
    bench->awake = true;
    double start_ms = now_ms();
    site_online(bench->device, true);
    site_settle(bench->large.site);
    double end_ms = now_ms();
    if (!large_group_has_key(&bench->large, bench->device)) {
        fail("the device has not come to the current key");
    }
    if (bench->asked != 0) {
        fail("the device has asked the IN-CSE");
    }
    return end_ms - start_ms;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    size_t members = argc == 3 ? (size_t)strtoull(argv[1], NULL, 10) : 0;
    size_t missed = argc == 3 ? (size_t)strtoull(argv[2], NULL, 10) : 0;
    if (members < 256 || members > MEMBERS_LIMIT || missed < 1 || missed > members / 2) {
        (void)fprintf(stderr, "usage: bench_recover MEMBERS MISSED (256 to %u; at most half of them)\n",
                      MEMBERS_LIMIT);
        return 2;
    }
    large_group_open(&bench.large);
    site_carry(bench.large.site, listen, &bench);
    bench.device = large_group_device(&bench.large, 0);
    large_group_build(&bench.large, members - 2);
    if (!large_group_has_key(&bench.large, bench.device)) {
        fail("the device has no key of the whole group");
    }
    site_online(bench.device, false);
    changes_miss(&bench, members, missed);
    if (large_group_has_key(&bench.large, bench.device)) {
        fail("the device has not missed anything");
    }
    site_restart(bench.device);
    double ms = device_wake(&bench);
    (void)printf("{\"members\": %zu, \"missed\": %zu, \"messages\": %zu, \"bytes\": %zu, \"ms\": %.2f, "
                 "\"policy_bytes\": %zu}\n",
                 members, missed, bench.messages, bench.bytes, ms, bench.policy_bytes);
    large_group_close(&bench.large);
    return 0;
}
