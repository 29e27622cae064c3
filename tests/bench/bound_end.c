/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_bound_end PKI PEERS: CPU seconds of a bare end-to-end handshake (both ends, wolfSSL, certificates),
 * of the devices 0 to PEERS - 1.
 */
#include "tests/bench/bare.h"

#include "tests/bench/environment.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    unsigned peers = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (peers == 0) {
        (void)fputs("usage: bench_bound_end PKI PEERS\n", stderr);
        return 2;
    }
    struct bare *bare = bare_new(argv[1], NULL);
    bare_peers(bare, 0, peers);
    double start_s = bench_own_cpu_s();
    for (unsigned i = 0; i < peers; i++) {
        bare_handshake(bare);
    }
    (void)printf("%.9f\n", (bench_own_cpu_s() - start_s) / peers);
    bare_free(bare);
    return 0;
}
