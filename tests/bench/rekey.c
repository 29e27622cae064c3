/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_rekey MEMBERS EVICTED
 *
 * What it costs to evict EVICTED of MEMBERS: the publishes of the MN-CSE, their payloads' bytes, the CPU time
 * of the authority's secure environment from the operator's request to the committed change on its way, that
 * of a member for all it receives, and the size of the tree in the authority's store. Engines and stores are
 * the real ones, in one process (tests/bench/large_group.h); the stores are below TMPDIR.
 *
 * A member receives the announcement, and those blocks that the path of one who leaves shares with its own:
 * how many depends on how near the two leaves are. Eight real devices are measured at every distance, and the
 * mean is over all members, as many as there are at each distance. Many evictions at once are spread evenly.
 */
#include "tests/bench/large_group.h"

#include "secenv/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 8u
#define ROUNDS 6u
#define OVERLAP_MS 31000u /* then nobody is listed as evicted any more */
#define MANY_FROM 16u     /* evictions at once spare the devices' first block */

struct figures {
    size_t publishes; /* the most of a round */
    size_t largest;
    double bytes_mean;
    double authority_us;
    double member_us_mean;
    uint64_t member_us_max;
};

struct bench {
    struct large_group large;
    struct site_node *devices[DEVICES];
    size_t members;
};

/* Members whose path shares the block of this row with that of one leaf. */
static double members_below(const struct bench *bench, unsigned row)
{
    size_t width = (size_t)1 << (TREE_BLOCK_LEVELS * (row + 1));
    return (double)(width < bench->members ? width : bench->members);
}

static double bytes_per_member(const struct bench *bench, const struct site_traffic *traffic)
{
    double bytes = (double)traffic->everybodys_bytes * (double)bench->members;
    for (unsigned row = 0; row < 5; row++) {
        bytes += (double)traffic->row_bytes[row] * members_below(bench, row);
    }
    return bytes / (double)bench->members;
}

/* Evicts, and adds what this has cost the devices to `device_us`, once for each. */
static void round_measure(struct bench *bench, char (*names)[NAME_LIMIT + 1], size_t count,
                          struct figures *figures, double *device_us)
{
    uint64_t before_us[DEVICES];
    for (size_t i = 0; i < DEVICES; i++) {
        before_us[i] = site_cpu_us(bench->devices[i]);
    }
    site_traffic_clear(bench->large.site);
    figures->authority_us += (double)large_group_evict(&bench->large, names, count);
    struct site_traffic traffic = site_traffic(bench->large.site);
    figures->publishes = traffic.publishes > figures->publishes ? traffic.publishes : figures->publishes;
    figures->largest = traffic.largest > figures->largest ? traffic.largest : figures->largest;
    figures->bytes_mean += bytes_per_member(bench, &traffic);
    for (size_t i = 0; i < DEVICES; i++) {
        uint64_t us = site_cpu_us(bench->devices[i]) - before_us[i];
        figures->member_us_max = us > figures->member_us_max ? us : figures->member_us_max;
        *device_us += (double)us / DEVICES;
        if (!large_group_has_key(&bench->large, bench->devices[i])) {
            (void)fputs("a device has not climbed to the new key\n", stderr);
            exit(1);
        }
    }
    site_advance(bench->large.site, OVERLAP_MS);
}

/* One at a time: at each distance from the devices ROUNDS of them. */
static void one_measure(struct bench *bench, struct figures *figures)
{
    unsigned rounds = 0;
    double nearer = 0;
    unsigned top = tree_top_row(20);
    for (unsigned row = 0; row <= top && nearer < (double)bench->members; row++) {
        double device_us = 0;
        size_t first = row == 0 ? DEVICES + 1 : (size_t)1 << (TREE_BLOCK_LEVELS * row);
        size_t reach = (size_t)members_below(bench, row) - first;
        for (size_t i = 0; i < ROUNDS; i++) {
            char name[1][NAME_LIMIT + 1];
            large_group_member_at(&bench->large, (uint32_t)(first + i * (reach / ROUNDS)), name[0]);
            round_measure(bench, name, 1, figures, &device_us);
        }
        figures->member_us_mean +=
            (members_below(bench, row) - nearer) / (double)bench->members * device_us / ROUNDS;
        nearer = members_below(bench, row);
        rounds += ROUNDS;
    }
    figures->bytes_mean /= rounds;
    figures->authority_us /= rounds;
}

static void many_measure(struct bench *bench, size_t evicted, struct figures *figures)
{
    char(*names)[NAME_LIMIT + 1] = calloc(evicted, sizeof(*names));
    if (names == NULL) {
        exit(1);
    }
    for (size_t i = 0; i < evicted; i++) {
        size_t index = MANY_FROM + i * ((bench->members - MANY_FROM) / evicted);
        large_group_member_at(&bench->large, (uint32_t)index, names[i]);
    }
    round_measure(bench, names, evicted, figures, &figures->member_us_mean);
    free(names);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct figures figures = {0};
    bench.members = argc == 3 ? (size_t)strtoull(argv[1], NULL, 10) : 0;
    size_t evicted = argc == 3 ? (size_t)strtoull(argv[2], NULL, 10) : 0;
    if (bench.members < 256 || bench.members > (size_t)1 << TREE_HEIGHT_MAX || evicted < 1 ||
        evicted > bench.members / 2) {
        (void)fputs("usage: bench_rekey MEMBERS EVICTED (256 to 1,048,576; at most half of them)\n", stderr);
        return 2;
    }
    large_group_open(&bench.large);
    for (size_t i = 0; i < DEVICES; i++) {
        bench.devices[i] = large_group_device(&bench.large, i);
    }
    large_group_build(&bench.large, bench.members - DEVICES - 1);
    site_advance(bench.large.site, OVERLAP_MS);
    double tree_bytes = (double)large_group_tree_bytes(&bench.large) / (double)bench.members;
    if (evicted == 1) {
        one_measure(&bench, &figures);
    } else {
        many_measure(&bench, evicted, &figures);
    }
    (void)printf("{\"members\": %zu, \"evicted\": %zu, \"publishes\": %zu, \"bytes_per_member_mean\": %.0f, "
                 "\"bytes_per_message_max\": %zu, \"authority_cpu_us\": %.0f, \"member_cpu_us_mean\": %.0f, "
                 "\"member_cpu_us_max\": %llu, \"store_bytes_per_member\": %.1f}\n",
                 bench.members, evicted, figures.publishes, figures.bytes_mean, figures.largest,
                 figures.authority_us, figures.member_us_mean, (unsigned long long)figures.member_us_max,
                 tree_bytes);
    large_group_close(&bench.large);
    return 0;
}
