/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_enrol FOLDER SECENV MEMBERS GROUP
 *
 * A group of so many members (devices 1 to MEMBERS, with pre-shared keys) as an authority's store has it when
 * all have authenticated and taken their key packages: in FOLDER the stores `authority`, `mn` and `door`, the
 * last of device 0, which is in the roster only. Real secure environments, end-to-end objects carried in one
 * process; no broker. FOLDER has the certificates of credentials.py in pki/.
 */
#include "tests/bench/ferry.h"
#include "tests/bench/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 256u
#define AT_ONCE 500u /* devices in one secure environment */
#define ASK_S 0.2
#define STALL_S 60
#define RESPONSE_WINDOW_MS 60000u /* the longest: what answers comes after the measurement */

struct bench {
    const char *folder;
    const char *program;
    const char *group;
    unsigned members;
    struct secret *psks;
    struct environment authority;
    struct environment devices;
    struct ferry *ferry;
    size_t devices_party;
    unsigned char *answers; /* of each device: flight 2, flight 4 */
    unsigned associated;
};

static void path_of(const struct bench *bench, const char *name, char out[4096])
{
    (void)snprintf(out, 4096, "%s/%s", bench->folder, name);
}

static void store_make(const struct bench *bench, const char *name, enum store_profile profile,
                       const struct bench_identity *identities, size_t count)
{
    char path[4096];
    char pki[4096];
    path_of(bench, name, path);
    path_of(bench, "pki", pki);
    bench_store_make(path, profile, pki, identities, count);
}

/* Of the devices `first` to `first + count - 1`. */
static void devices_store_make(const struct bench *bench, const char *name, unsigned first, unsigned count)
{
    static struct bench_identity devices[AT_ONCE];
    static char stems[AT_ONCE][24];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(stems[i], sizeof(stems[i]), "Sbench%06u", first + i);
        devices[i] = (struct bench_identity){stems[i], IDENTITY_ADN_AE, &bench->psks[first + i]};
    }
    store_make(bench, name, STORE_MEMBER, devices, count);
}

static void environment_open(const struct bench *bench, struct environment *environment, const char *name,
                             bool has_operator)
{
    char store[4096];
    char prefix[4096 + 8];
    path_of(bench, name, store);
    (void)snprintf(prefix, sizeof(prefix), "%s-e", store);
    environment_start(environment, bench->program, store, prefix, has_operator);
}

static void answered(void *context, const char *identity)
{
    struct bench *bench = context;
    unsigned long number = strtoul(identity + strlen(BENCH_SP "Sbench"), NULL, 10);
    if (strncmp(identity, BENCH_SP "Sbench", strlen(BENCH_SP "Sbench")) == 0 && number <= bench->members &&
        ++bench->answers[number] == 2) {
        bench->associated++;
    }
}

/* These devices authenticate, WINDOW at a time, and take their packages. */
static void devices_join(struct bench *bench, struct secenv_client *operator_client, unsigned first,
                         unsigned count)
{
    unsigned next = first;
    unsigned before = bench->associated;
    uint64_t accepted = 0;
    double asked_s = bench_now_s();
    double progress_s = asked_s;
    while (accepted < first + count - 1) {
        char name[64];
        while (next < first + count && next - first - (bench->associated - before) < WINDOW) {
            bench_device_name(next++, name, sizeof(name));
            ferry_online(bench->ferry, bench->devices_party, name);
        }
        ferry_pump(bench->ferry, 100);
        if (bench_now_s() - asked_s < ASK_S) {
            continue;
        }
        uint64_t was = accepted;
        accepted = environment_counter(operator_client, "packages_accepted");
        asked_s = bench_now_s();
        progress_s = accepted > was || bench->associated - before < count ? asked_s : progress_s;
        if (asked_s - progress_s > STALL_S) {
            bench_fail("%llu of %u members have their key, and no more", (unsigned long long)accepted,
                       bench->members);
        }
    }
}

static void some_join(struct bench *bench, struct secenv_client *operator_client, unsigned first)
{
    static const char *const bench_function[] = {"bench"};
    const struct ferry_watch watch = {.answered = answered, .context = bench};
    unsigned left = bench->members + 1 - first;
    unsigned count = left < AT_ONCE ? left : AT_ONCE;
    char name[32];
    (void)snprintf(name, sizeof(name), "devices-%u", first);
    devices_store_make(bench, name, first, count);
    roster_add_devices(operator_client, first, count, bench->psks, bench_function, 1);
    environment_open(bench, &bench->devices, name, false);
    bench->ferry = ferry_new(&watch);
    ferry_online(bench->ferry, ferry_add(bench->ferry, bench->authority.owner_socket), BENCH_IN_CSE);
    bench->devices_party = ferry_add(bench->ferry, bench->devices.owner_socket);
    devices_join(bench, operator_client, first, count);
    ferry_free(bench->ferry);
    environment_stop(&bench->devices);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static const char *const door[] = {"bench", "door"};
    const struct bench_identity in_cse = {.stem = "in-cse", .kind = IDENTITY_IN_CSE};
    const struct bench_identity mn_cse = {.stem = "mn-1", .kind = IDENTITY_MN_CSE};
    if (argc != 5) {
        (void)fputs("usage: bench_enrol FOLDER SECENV MEMBERS GROUP\n", stderr);
        return 2;
    }
    bench.folder = argv[1];
    bench.program = argv[2];
    bench.members = (unsigned)strtoul(argv[3], NULL, 10);
    bench.group = argv[4];
    bench.psks = calloc(bench.members + 1, sizeof(*bench.psks));
    bench.answers = calloc(bench.members + 1, 1);
    if (bench.psks == NULL || bench.answers == NULL ||
        random_bytes((uint8_t *)bench.psks, (bench.members + 1) * sizeof(*bench.psks)) != RESULT_OK) {
        bench_fail("no keys");
    }
    store_make(&bench, "authority", STORE_AUTHORITY, &in_cse, 1);
    store_make(&bench, "mn", STORE_MEMBER, &mn_cse, 1);
    devices_store_make(&bench, "door", 0, 1);
    environment_open(&bench, &bench.authority, "authority", true);
    struct secenv_client *operator_client = environment_connect(bench.authority.operator_socket);
    roster_add_mn_cse(operator_client);
    roster_add_devices(operator_client, 0, 1, bench.psks, door, 2);
    roster_create_group(operator_client, bench.group, "bench", RESPONSE_WINDOW_MS);
    roster_create_group(operator_client, "door", "door", 0);
    for (unsigned first = 1; first <= bench.members; first += AT_ONCE) {
        some_join(&bench, operator_client, first);
    }
    secenv_client_close(operator_client);
    environment_stop(&bench.authority);
    free(bench.psks);
    free(bench.answers);
    return 0;
}
