/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_ENVIRONMENT_H
#define GROUPSEAL_BENCH_ENVIRONMENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "secenv/client/secenv_client.h"
#include "secenv/credentials.h"

/*
 * Secure environments for benchmarks: stores that are filled here, processes of the program `secenv` that are
 * measured by their own CPU clock. What goes wrong ends the benchmark.
 */
#define BENCH_SP "//sp.example/"
#define BENCH_IN_CSE BENCH_SP "in-cse"
#define BENCH_MN_CSE BENCH_SP "mn-1"

void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* "//sp.example/Sbench000042" */
void bench_device_name(unsigned number, char *out, size_t size);

/* The stems of the credentials in `pki` that credentials.py made. */
struct bench_identity {
    const char *stem;
    enum identity_kind kind;
    const struct secret *psk; /* NULL: certificate */
};

/* A store at `path` with these identities. */
void bench_store_make(const char *path, enum store_profile profile, const char *pki,
                      const struct bench_identity *identities, size_t count);

struct environment {
    pid_t pid;
    char owner_socket[108];
    char operator_socket[108]; /* authority */
};

/* Starts `secenv run`; sockets are `prefix`.owner and `prefix`.operator; its log goes to `prefix`.log. */
void environment_start(struct environment *environment, const char *program, const char *store,
                       const char *prefix, bool has_operator);
/* CPU seconds that it has used, of all its threads, in user and kernel. */
double environment_cpu_s(const struct environment *environment);
void environment_stop(struct environment *environment);

/* Waits for the socket; greets. */
struct secenv_client *environment_connect(const char *socket);
/* Sends and waits; a code other than OK ends the benchmark. Freed by secenv_client_free. */
Groupseal__Secenv__FromSecenv *environment_call(struct secenv_client *client,
                                                Groupseal__Secenv__ToSecenv *request);
uint64_t environment_counter(struct secenv_client *client, const char *name);

/* CPU seconds of this process. */
double bench_own_cpu_s(void);
/* Seconds since some moment. */
double bench_now_s(void);

#endif
