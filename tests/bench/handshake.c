/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_handshake FOLDER SECENV ROUNDS PEERS
 *
 * Whole end-to-end authentications between an authority's and a member's secenv, each of a peer that was
 * never seen before, per CPU second of both processes; beside the bare wolfSSL handshake, in turns. FOLDER
 * has the certificates of credentials.py in pki/ (ROUNDS * PEERS + PEERS devices: the first PEERS warm up).
 */
#include "tests/bench/bare.h"
#include "tests/bench/ferry.h"
#include "tests/bench/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 256u /* peers that authenticate at the same time: a fleet that comes back */
#define STALL_S 20

struct bench {
    const char *folder;
    const char *program;
    unsigned rounds;
    unsigned peers;
    struct secret *psks; /* one a device, or NULL: certificates */
    struct environment authority;
    struct environment member;
    struct ferry *ferry;
    size_t member_party;
    unsigned char *answers; /* of each device: flight 2, flight 4 */
    unsigned done;
};

static unsigned device_count(const struct bench *bench)
{
    return (bench->rounds + 1) * bench->peers;
}

static void answered(void *context, const char *identity)
{
    struct bench *bench = context;
    unsigned long number = strtoul(identity + strlen(BENCH_SP "Sbench"), NULL, 10);
    if (number >= device_count(bench)) {
        bench_fail("an answer to %s", identity);
    }
    if (++bench->answers[number] == 2) {
        bench->done++;
    }
}

/* ---- stores and roster ---- */

static void stores_make(struct bench *bench, const char *mode)
{
    char path[4096];
    char pki[4096];
    struct bench_identity in_cse = {.stem = "in-cse", .kind = IDENTITY_IN_CSE};
    unsigned count = device_count(bench);
    struct bench_identity *devices = calloc(count, sizeof(*devices));
    char(*stems)[24] = calloc(count, sizeof(*stems));
    if (devices == NULL || stems == NULL) {
        bench_fail("out of memory");
    }
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(stems[i], sizeof(stems[i]), "Sbench%06u", i);
        devices[i] = (struct bench_identity){
            .stem = stems[i], .kind = IDENTITY_ADN_AE, .psk = bench->psks == NULL ? NULL : &bench->psks[i]};
    }
    (void)snprintf(pki, sizeof(pki), "%s/pki", bench->folder);
    (void)snprintf(path, sizeof(path), "%s/authority-%s", bench->folder, mode);
    bench_store_make(path, STORE_AUTHORITY, pki, &in_cse, 1);
    (void)snprintf(path, sizeof(path), "%s/member-%s", bench->folder, mode);
    bench_store_make(path, STORE_MEMBER, pki, devices, count);
    free(devices);
    free(stems);
}

static void environments_start(struct bench *bench, const char *mode)
{
    char store[4096];
    char prefix[4096];
    (void)snprintf(store, sizeof(store), "%s/authority-%s", bench->folder, mode);
    (void)snprintf(prefix, sizeof(prefix), "%s/a-%s", bench->folder, mode);
    environment_start(&bench->authority, bench->program, store, prefix, true);
    (void)snprintf(store, sizeof(store), "%s/member-%s", bench->folder, mode);
    (void)snprintf(prefix, sizeof(prefix), "%s/m-%s", bench->folder, mode);
    environment_start(&bench->member, bench->program, store, prefix, false);
}

static void roster_fill(struct bench *bench)
{
    struct secenv_client *client = environment_connect(bench->authority.operator_socket);
    roster_add_mn_cse(client);
    roster_add_devices(client, 0, device_count(bench), bench->psks, NULL, 0);
    secenv_client_close(client);
}

/* ---- measuring ---- */

/* CPU seconds of both processes. */
struct both {
    double authority_s;
    double member_s;
};

static struct both both_cpu(const struct bench *bench)
{
    return (struct both){environment_cpu_s(&bench->authority), environment_cpu_s(&bench->member)};
}

/* The devices of one round, WINDOW at a time. */
static void round_run(struct bench *bench, unsigned number, struct both *used)
{
    unsigned next = number * bench->peers;
    unsigned end = next + bench->peers;
    unsigned before = bench->done;
    struct both start = both_cpu(bench);
    double progress_s = bench_now_s();
    while (bench->done - before < bench->peers) {
        unsigned was = bench->done;
        while (next < end && next - number * bench->peers - (bench->done - before) < WINDOW) {
            char name[64];
            bench_device_name(next++, name, sizeof(name));
            ferry_online(bench->ferry, bench->member_party, name);
        }
        ferry_pump(bench->ferry, 100);
        progress_s = bench->done == was ? progress_s : bench_now_s();
        if (bench_now_s() - progress_s > STALL_S) {
            bench_fail("%u of %u authentications are done, and no more", bench->done - before, bench->peers);
        }
    }
    struct both stop = both_cpu(bench);
    used->authority_s += stop.authority_s - start.authority_s;
    used->member_s += stop.member_s - start.member_s;
}

static double bare_cpu_s(struct bare *bare, unsigned round, unsigned count)
{
    bare_peers(bare, round * count, count);
    double start = bench_own_cpu_s();
    for (unsigned i = 0; i < count; i++) {
        bare_handshake(bare);
    }
    return bench_own_cpu_s() - start;
}

/* What was counted is what both secenvs have done, and nothing was refused. */
static void check_counters(struct bench *bench)
{
    struct secenv_client *client = environment_connect(bench->authority.operator_socket);
    uint64_t done = environment_counter(client, "handshakes_done");
    uint64_t refused = environment_counter(client, "handshakes_refused");
    uint64_t commits = environment_counter(client, "commits");
    secenv_client_close(client);
    if (done != device_count(bench) || refused != 0) {
        bench_fail("the authority counts %llu authentications and %llu refused", (unsigned long long)done,
                   (unsigned long long)refused);
    }
    (void)fprintf(stderr, "bench handshake: %llu authentications, %llu commits of the authority\n",
                  (unsigned long long)done, (unsigned long long)commits);
}

static void measure(struct bench *bench, const char *mode)
{
    const struct ferry_watch watch = {.answered = answered, .context = bench};
    char pki[4096];
    struct both used = {0, 0};
    struct both warm_up = {0, 0};
    double bare_s = 0;
    (void)snprintf(pki, sizeof(pki), "%s/pki", bench->folder);
    stores_make(bench, mode);
    environments_start(bench, mode);
    roster_fill(bench);
    struct bare *bare = bare_new(pki, bench->psks);
    bench->done = 0;
    bench->answers = calloc(device_count(bench) + 1, 1);
    if (bench->answers == NULL) {
        bench_fail("out of memory");
    }
    bench->ferry = ferry_new(&watch);
    (void)ferry_add(bench->ferry, bench->authority.owner_socket);
    bench->member_party = ferry_add(bench->ferry, bench->member.owner_socket);
    (void)bare_cpu_s(bare, 0, bench->peers);
    round_run(bench, 0, &warm_up);
    for (unsigned i = 1; i <= bench->rounds; i++) {
        bare_s += bare_cpu_s(bare, i, bench->peers);
        round_run(bench, i, &used);
    }
    check_counters(bench);
    double count = (double)bench->rounds * bench->peers;
    double cpu_s = used.authority_s + used.member_s;
    (void)fprintf(stderr,
                  "bench handshake: microseconds each: authority %.0f, member %.0f, bare (both ends) %.0f\n",
                  used.authority_s / count * 1e6, used.member_s / count * 1e6, bare_s / count * 1e6);
    printf("{\"bench\": \"handshake\", \"mode\": \"%s\", \"per_cpu_s\": %.1f, \"bare_per_cpu_s\": %.1f, "
           "\"ratio\": %.3f}\n",
           mode, count / cpu_s, count / bare_s, bare_s / cpu_s);
    (void)fflush(stdout);
    ferry_free(bench->ferry);
    environment_stop(&bench->member);
    environment_stop(&bench->authority);
    bare_free(bare);
    free(bench->answers);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    if (argc != 5) {
        (void)fputs("usage: bench_handshake FOLDER SECENV ROUNDS PEERS\n", stderr);
        return 2;
    }
    bench.folder = argv[1];
    bench.program = argv[2];
    bench.rounds = (unsigned)strtoul(argv[3], NULL, 10);
    bench.peers = (unsigned)strtoul(argv[4], NULL, 10);
    if (bench.rounds == 0 || bench.peers == 0) {
        bench_fail("ROUNDS and PEERS must be at least 1");
    }
    measure(&bench, "cert");
    bench.psks = calloc(device_count(&bench), sizeof(*bench.psks));
    if (bench.psks == NULL ||
        random_bytes((uint8_t *)bench.psks, device_count(&bench) * sizeof(*bench.psks)) != RESULT_OK) {
        bench_fail("no keys");
    }
    measure(&bench, "psk");
    free(bench.psks);
    return 0;
}
