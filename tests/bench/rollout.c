/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_rollout FOLDER SECENV MEMBERS EACH GROUP
 *
 * What an operator has done before a fleet is switched on: in FOLDER the stores `authority`, `mn`, and
 * `fleet-N` with the EACH devices from number N on; all of them in the roster and, by their function, of
 * GROUP. With certificates: FOLDER has those of credentials.py in pki/.
 */
#include "tests/bench/roster.h"

#include <stdio.h>
#include <stdlib.h>

#define EACH_MAX 500u

static void store_make(const char *folder, const char *name, enum store_profile profile,
                       const struct bench_identity *identities, size_t count)
{
    char path[4096];
    char pki[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    (void)snprintf(pki, sizeof(pki), "%s/pki", folder);
    bench_store_make(path, profile, pki, identities, count);
}

static void fleet_make(const char *folder, unsigned first, unsigned count)
{
    static struct bench_identity devices[EACH_MAX];
    static char stems[EACH_MAX][24];
    char name[32];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(stems[i], sizeof(stems[i]), "Sbench%06u", first + i);
        devices[i] = (struct bench_identity){stems[i], IDENTITY_ADN_AE, NULL};
    }
    (void)snprintf(name, sizeof(name), "fleet-%u", first);
    store_make(folder, name, STORE_MEMBER, devices, count);
}

static void roster_fill(const char *folder, const char *program, unsigned members, const char *group)
{
    static const char *const functions[] = {"bench"};
    char store[4096];
    char prefix[4096];
    struct environment authority;
    (void)snprintf(store, sizeof(store), "%s/authority", folder);
    (void)snprintf(prefix, sizeof(prefix), "%s/rollout", folder);
    environment_start(&authority, program, store, prefix, true);
    struct secenv_client *client = environment_connect(authority.operator_socket);
    roster_add_mn_cse(client);
    roster_add_devices(client, 0, members, NULL, functions, 1);
    roster_create_group(client, group, "bench", 0);
    secenv_client_close(client);
    environment_stop(&authority);
}

int main(int argc, char **argv)
{
    const struct bench_identity in_cse = {.stem = "in-cse", .kind = IDENTITY_IN_CSE};
    const struct bench_identity mn_cse = {.stem = "mn-1", .kind = IDENTITY_MN_CSE};
    unsigned members = argc == 6 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    unsigned each = argc == 6 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    if (members == 0 || each == 0 || each > EACH_MAX) {
        (void)fputs("usage: bench_rollout FOLDER SECENV MEMBERS EACH GROUP\n", stderr);
        return 2;
    }
    store_make(argv[1], "authority", STORE_AUTHORITY, &in_cse, 1);
    store_make(argv[1], "mn", STORE_MEMBER, &mn_cse, 1);
    for (unsigned first = 0; first < members; first += each) {
        fleet_make(argv[1], first, members - first < each ? members - first : each);
    }
    roster_fill(argv[1], argv[2], members, argv[5]);
    return 0;
}
