/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_fleet FIRST COUNT SECENV-SOCKET URI PKI
 *
 * The devices FIRST to FIRST + COUNT - 1 in one process, each the whole of agents/adn-ae/device.h with a
 * connection of its own, all with one secure environment. Says "ready", starts them when a line comes on
 * standard input, says "joined" when each has the key of a group, and runs until standard input ends. PKI has
 * the certificates for the broker.
 */
#include "tests/bench/shared_session.h"

#include "agents/adn-ae/device.h"
#include "agents/log.h"
#include "agents/program.h"
#include "tests/bench/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US 100000u

struct fleet {
    sd_event *loop;
    unsigned first;
    unsigned count;
    const char *uri;
    const char *pki;
    unsigned joined;
    sd_event_source *look;
};

static void say(const char *word)
{
    (void)puts(word);
    (void)fflush(stdout);
}

/* ---- what devices say ---- */

static void on_command(void *context, const struct device_command *command)
{
    (void)context;
    (void)command;
}

static void on_message(void *context, const struct device_message *message)
{
    (void)context;
    (void)message;
}

static void on_departed(void *context, const char *group, const char *reason)
{
    (void)context;
    (void)group;
    (void)reason;
}

static void look_later(struct fleet *fleet)
{
    if (sd_event_source_set_time_relative(fleet->look, LOOK_US) < 0 ||
        sd_event_source_set_enabled(fleet->look, SD_EVENT_ONESHOT) < 0) {
        bench_fail("no timer");
    }
}

/* A key package is not enough: with it the member has to climb to the group's key. */
static void on_status(void *context, void *request_context, const Groupseal__Secenv__Reply *reply)
{
    struct fleet *fleet = request_context;
    unsigned with_key = 0;
    (void)context;
    for (size_t i = 0; i < reply->status->n_identities; i++) {
        const Groupseal__Secenv__IdentityStatus *identity = reply->status->identities[i];
        with_key += identity->n_groups != 0 && identity->groups[0]->epoch != 0 ? 1 : 0;
    }
    if (with_key == fleet->count) {
        say("joined");
    } else {
        look_later(fleet);
    }
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    (void)source;
    (void)usec;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    shared_session_request(&request, on_status, userdata);
    return 0;
}

static void on_joined(void *context, const char *group)
{
    struct fleet *fleet = context;
    (void)group;
    if (++fleet->joined == fleet->count) {
        look_later(fleet);
    }
}

/* ---- starting ---- */

static void device_start(struct fleet *fleet, unsigned number)
{
    static const struct device_callbacks callbacks = {on_command, on_message, on_joined, on_departed};
    char identity[64];
    char paths[3][4096];
    char why[512] = "";
    bench_device_name(number, identity, sizeof(identity));
    const char *stem = identity + strlen(BENCH_SP);
    (void)snprintf(paths[0], sizeof(paths[0]), "%s/ca.pem", fleet->pki);
    (void)snprintf(paths[1], sizeof(paths[1]), "%s/%s.pem", fleet->pki, stem);
    (void)snprintf(paths[2], sizeof(paths[2]), "%s/%s.key", fleet->pki, stem);
    struct device_settings settings = {
        .identity = identity,
        .registrar = BENCH_MN_CSE,
        .app_id = "Nbench",
        .broker = {.uri = fleet->uri, .ca = paths[0], .certificate = paths[1], .private_key = paths[2]},
        .secenv = {.socket_path = "shared"},
    };
    if (device_new(fleet->loop, &settings, &callbacks, fleet, why, sizeof(why)) == NULL) {
        bench_fail("%s: %s", identity, why);
    }
}

/* The first line starts all; the end of the input ends the process, and does not wait for 500 good-byes. */
static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct fleet *fleet = userdata;
    char line[64];
    (void)source;
    (void)events;
    if (read(fd, line, sizeof(line)) <= 0) {
        _exit(EXIT_SUCCESS);
    }
    for (unsigned i = 0; i < fleet->count; i++) {
        device_start(fleet, fleet->first + i);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct fleet fleet = {0};
    if (argc != 6) {
        (void)fputs("usage: bench_fleet FIRST COUNT SECENV-SOCKET URI PKI\n", stderr);
        return 2;
    }
    fleet.first = (unsigned)strtoul(argv[1], NULL, 10);
    fleet.count = (unsigned)strtoul(argv[2], NULL, 10);
    fleet.uri = argv[4];
    fleet.pki = argv[5];
    agent_log_open("bench_fleet", AGENT_LOG_WARNING);
    fleet.loop = program_loop();
    if (fleet.loop == NULL ||
        sd_event_add_io(fleet.loop, NULL, STDIN_FILENO, EPOLLIN, on_input, &fleet) < 0 ||
        sd_event_add_time(fleet.loop, &fleet.look, CLOCK_MONOTONIC, 0, 0, on_look, &fleet) < 0 ||
        sd_event_source_set_enabled(fleet.look, SD_EVENT_OFF) < 0) {
        bench_fail("no event loop");
    }
    shared_session_start(fleet.loop, argv[3]);
    say("ready");
    return sd_event_loop(fleet.loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
