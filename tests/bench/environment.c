/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATH_SIZE 4096u
#define FILE_LIMIT 65536u
#define ENVIRONMENTS_MAX 8u
#define CALL_MS 60000
#define START_TRIES 1000 /* of 10 ms */

static pid_t running[ENVIRONMENTS_MAX];

static void stop_running(void)
{
    for (size_t i = 0; i < ENVIRONMENTS_MAX; i++) {
        if (running[i] > 0) {
            (void)kill(running[i], SIGKILL);
            (void)waitpid(running[i], NULL, 0);
        }
    }
}

void bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void bench_device_name(unsigned number, char *out, size_t size)
{
    (void)snprintf(out, size, BENCH_SP "Sbench%06u", number);
}

/* ---- stores ---- */

static void read_file(const char *pki, const char *stem, const char *kind, struct buffer *out)
{
    char path[PATH_SIZE];
    static uint8_t data[FILE_LIMIT];
    (void)snprintf(path, sizeof(path), "%s/%s.%s", pki, stem, kind);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        bench_fail("%s: %s", path, strerror(errno));
    }
    size_t length = fread(data, 1, sizeof(data), file);
    (void)fclose(file);
    if (buffer_append(out, (struct bytes){data, length}) != RESULT_OK) {
        bench_fail("%s is too long", path);
    }
}

static void identity_fill(struct identity *identity, const char *pki, const struct bench_identity *wanted)
{
    bool is_uri = false;
    memset(identity, 0, sizeof(*identity));
    identity->kind = wanted->kind;
    identity->mode = wanted->psk == NULL ? CREDENTIALS_CERT : CREDENTIALS_PSK;
    (void)snprintf(identity->name, sizeof(identity->name), BENCH_SP "%s", wanted->stem);
    (void)snprintf(identity->authority, sizeof(identity->authority), BENCH_IN_CSE);
    if (identity_san(BENCH_IN_CSE, IDENTITY_IN_CSE, BENCH_IN_CSE, identity->authority_san,
                     sizeof(identity->authority_san), &is_uri) != RESULT_OK) {
        bench_fail("no name for the IN-CSE's certificate");
    }
    if (wanted->psk != NULL) {
        identity->psk = *wanted->psk;
        (void)snprintf(identity->psk_identity, sizeof(identity->psk_identity), "%s", identity->name);
        return;
    }
    identity->chain = identity->private_key = BUFFER_EMPTY(FILE_LIMIT);
    identity->trust_anchors = identity->crl = BUFFER_EMPTY(FILE_LIMIT);
    read_file(pki, wanted->stem, "pem", &identity->chain);
    read_file(pki, wanted->stem, "key", &identity->private_key);
    read_file(pki, "ca", "pem", &identity->trust_anchors);
    read_file(pki, "crl", "pem", &identity->crl);
}

void bench_store_make(const char *path, enum store_profile profile, const char *pki,
                      const struct bench_identity *identities, size_t count)
{
    char root_key[PATH_SIZE];
    struct reason why = {""};
    struct store *store = NULL;
    const char *const schemas[] = {identity_schema};
    (void)snprintf(root_key, sizeof(root_key), "%s/root.key", path);
    if (store_create(path, profile, root_key, &why) != RESULT_OK ||
        store_open(path, profile, root_key_file(root_key), schemas, 1, &store, &why) != RESULT_OK ||
        store_begin(store, &why) != RESULT_OK) {
        bench_fail("%s", why.text);
    }
    for (size_t i = 0; i < count; i++) {
        struct identity identity;
        identity_fill(&identity, pki, &identities[i]);
        if (identity_store(store, &identity, false, &why) != RESULT_OK) {
            bench_fail("%s", why.text);
        }
        identity_clear(&identity);
    }
    if (store_commit(store, &why) != RESULT_OK) {
        bench_fail("%s", why.text);
    }
    store_close(store);
}

/* ---- processes ---- */

static void remember(pid_t pid)
{
    for (size_t i = 0; i < ENVIRONMENTS_MAX; i++) {
        if (running[i] == 0) {
            running[i] = pid;
            return;
        }
    }
    bench_fail("too many processes");
}

void environment_start(struct environment *environment, const char *program, const char *store,
                       const char *prefix, bool has_operator)
{
    static bool registered;
    char log[PATH_SIZE];
    posix_spawn_file_actions_t actions;
    if (!registered) {
        (void)atexit(stop_running);
        registered = true;
    }
    (void)snprintf(environment->owner_socket, sizeof(environment->owner_socket), "%s.owner", prefix);
    (void)snprintf(environment->operator_socket, sizeof(environment->operator_socket), "%s.operator", prefix);
    (void)snprintf(log, sizeof(log), "%s.log", prefix);
    const char *arguments[] = {"secenv",
                               "run",
                               "--store",
                               store,
                               "--owner-socket",
                               environment->owner_socket,
                               has_operator ? "--operator-socket" : NULL,
                               environment->operator_socket,
                               "--same-user",
                               NULL};
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC,
                                                 0600);
    }
    if (error == 0) {
        error = posix_spawn(&environment->pid, program, &actions, NULL, (char *const *)(uintptr_t)arguments,
                            environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        bench_fail("%s: %s", program, strerror(error));
    }
    remember(environment->pid);
}

static double clock_s(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) {
        bench_fail("no CPU clock: %s", strerror(errno));
    }
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double environment_cpu_s(const struct environment *environment)
{
    clockid_t clock;
    int error = clock_getcpuclockid(environment->pid, &clock);
    if (error != 0) {
        bench_fail("secenv has ended: %s", strerror(error));
    }
    return clock_s(clock);
}

double bench_own_cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

double bench_now_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

void environment_stop(struct environment *environment)
{
    int status = 0;
    (void)kill(environment->pid, SIGTERM);
    (void)waitpid(environment->pid, &status, 0);
    for (size_t i = 0; i < ENVIRONMENTS_MAX; i++) {
        running[i] = running[i] == environment->pid ? 0 : running[i];
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        bench_fail("a secenv ended with status %d", status);
    }
}

struct secenv_client *environment_connect(const char *socket)
{
    struct secenv_client_settings settings = {.socket_path = socket};
    char why[512] = "";
    struct secenv_client *client = NULL;
    const struct timespec step = {.tv_nsec = 10000000};
    for (int i = 0; i < START_TRIES && client == NULL; i++) {
        client = secenv_client_open(&settings, why, sizeof(why));
        if (client == NULL) {
            (void)nanosleep(&step, NULL);
        }
    }
    Groupseal__Secenv__FromSecenv *welcome =
        client == NULL ? NULL : secenv_client_greet(client, CALL_MS, why, sizeof(why));
    if (welcome == NULL) {
        bench_fail("%s", why);
    }
    secenv_client_free(welcome);
    return client;
}

Groupseal__Secenv__FromSecenv *environment_call(struct secenv_client *client,
                                                Groupseal__Secenv__ToSecenv *request)
{
    char why[512] = "";
    Groupseal__Secenv__FromSecenv *message =
        secenv_client_call(client, request, CALL_MS, NULL, NULL, why, sizeof(why));
    if (message == NULL) {
        bench_fail("%s", why);
    }
    if (message->reply->code != GROUPSEAL__SECENV__CODE__OK) {
        bench_fail("secenv: %s", message->reply->reason);
    }
    return message;
}

uint64_t environment_counter(struct secenv_client *client, const char *name)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    uint64_t value = 0;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    Groupseal__Secenv__FromSecenv *message = environment_call(client, &request);
    for (size_t i = 0; i < message->reply->status->n_counters; i++) {
        if (strcmp(message->reply->status->counters[i]->name, name) == 0) {
            value = message->reply->status->counters[i]->value;
        }
    }
    secenv_client_free(message);
    return value;
}
