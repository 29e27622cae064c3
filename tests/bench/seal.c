/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bench_seal FOLDER SECENV ROUNDS COUNT
 *
 * Group messages through secure environments, per CPU second of all the processes of secenv that they pass:
 *
 *   command: ordered and signed by the authority's, verified, seal-signed and sealed by the MN-CSE's, opened
 * and verified (both signatures) by the device's, which hands it to its application; with the commits that
 *            make it run at most once.
 *   message: signed and sealed by the device's, opened and verified by the MN-CSE's.
 *
 * Each round has a group of its own, since an MN-CSE takes only so many commands of a group at a time.
 * Beside it the bare wolfSSL calls of the same, in turns. The receipts of the device are left to after the
 * measurement (a long response window). FOLDER has the certificates of credentials.py in pki/ (one device).
 */
#include "tests/bench/bare.h"
#include "tests/bench/ferry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_LENGTH 64u
#define WINDOW 16u
#define STALL_S 20
#define STATUS_S 0.1
#define DEVICE BENCH_SP "Sbench000000"
#define COMMAND_SAID 32u /* command id and the two times, which are no overhead; no targets: every member */
#define RESPONSE_WINDOW_MS 60000u /* the longest */
#define VALID_MS 600000u

struct bench {
    const char *folder;
    const char *program;
    struct environment authority;
    struct environment relay;
    struct environment device;
    struct ferry *ferry;
    size_t authority_party;
    size_t operator_party;
    size_t relay_party;
    size_t device_party;
    unsigned synchronised; /* groups in which the device acts on commands */
    bool measuring;
    char group[24];    /* of this round */
    unsigned commands; /* that the device's application was given */
    unsigned messages; /* that the MN-CSE's was given */
    size_t command_overhead;
    size_t message_overhead;
};

static uint8_t body[BODY_LENGTH] = "{\"m2m:cin\": {\"con\": \"close\"}}";

/* ---- what comes back ---- */

static void published(void *context, const Groupseal__Secenv__Publish *publish)
{
    struct bench *bench = context;
    if (bench->measuring && publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_COMMAND) {
        bench->command_overhead = publish->payload.len - COMMAND_SAID - BODY_LENGTH;
    }
}

static void commanded(void *context, const char *identity, const Groupseal__Secenv__CommandEvent *command)
{
    struct bench *bench = context;
    if (strcmp(identity, DEVICE) == 0 && command->body.len == BODY_LENGTH) {
        bench->commands++;
    }
}

static void messaged(void *context, const char *identity, const Groupseal__Secenv__MessageEvent *message)
{
    struct bench *bench = context;
    if (strcmp(identity, BENCH_MN_CSE) == 0) {
        if (!message->proven) {
            bench_fail("a member message is not signed");
        }
        bench->messages++;
    }
}

static void status_taken(struct bench *bench, const Groupseal__Secenv__StatusReply *status)
{
    unsigned synchronised = 0;
    for (size_t i = 0; i < status->n_identities; i++) {
        for (size_t j = 0; j < status->identities[i]->n_groups; j++) {
            synchronised += status->identities[i]->groups[j]->synchronised ? 1 : 0;
        }
    }
    bench->synchronised = synchronised;
}

/* What the device has sealed goes to the MN-CSE. */
static void spoken_taken(struct bench *bench, const Groupseal__Secenv__Spoken *spoken)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Heard heard = GROUPSEAL__SECENV__HEARD__INIT;
    heard.identity = (char *)(uintptr_t)BENCH_MN_CSE;
    heard.site = spoken->site;
    heard.group = bench->group;
    heard.kind = GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE;
    heard.sender = (char *)(uintptr_t)DEVICE;
    heard.payload = spoken->payload;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    request.heard = &heard;
    bench->message_overhead = heard.payload.len - BODY_LENGTH;
    ferry_request(bench->ferry, bench->relay_party, &request, BENCH_MN_CSE);
}

static void reply_taken(void *context, const Groupseal__Secenv__Reply *reply, const char *identity)
{
    (void)identity;
    if (reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_SPOKEN) {
        spoken_taken(context, reply->spoken);
    } else if (reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_STATUS) {
        status_taken(context, reply->status);
    }
}

/* ---- setup ---- */

static void start_one(struct bench *bench, struct environment *environment, const char *stem,
                      enum identity_kind kind)
{
    char store[4096];
    char pki[4096];
    char prefix[4096];
    struct bench_identity identity = {.stem = stem, .kind = kind};
    bool authority = kind == IDENTITY_IN_CSE;
    (void)snprintf(pki, sizeof(pki), "%s/pki", bench->folder);
    (void)snprintf(store, sizeof(store), "%s/seal-%s", bench->folder, stem);
    (void)snprintf(prefix, sizeof(prefix), "%s/s-%s", bench->folder, stem);
    bench_store_make(store, authority ? STORE_AUTHORITY : STORE_MEMBER, pki, &identity, 1);
    environment_start(environment, bench->program, store, prefix, authority);
}

static void members_add(struct secenv_client *client)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__MemberAdd add = GROUPSEAL__SECENV__MEMBER_ADD__INIT;
    Groupseal__Secenv__NewMember relay = GROUPSEAL__SECENV__NEW_MEMBER__INIT;
    Groupseal__Secenv__NewMember device = GROUPSEAL__SECENV__NEW_MEMBER__INIT;
    Groupseal__Secenv__NewMember *list[] = {&relay, &device};
    char *functions[] = {(char *)(uintptr_t) "bench"};
    relay.name = (char *)(uintptr_t)BENCH_MN_CSE;
    relay.kind = GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE;
    relay.mode = GROUPSEAL__SECENV__MODE__MODE_CERT;
    device.name = (char *)(uintptr_t)DEVICE;
    device.kind = GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_ADN_AE;
    device.mode = GROUPSEAL__SECENV__MODE__MODE_CERT;
    device.site = relay.name;
    device.n_functions = 1;
    device.functions = functions;
    add.n_members = 2;
    add.members = list;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_ADD;
    request.member_add = &add;
    secenv_client_free(environment_call(client, &request));
}

static void group_name(struct bench *bench, unsigned round)
{
    (void)snprintf(bench->group, sizeof(bench->group), "bench-%u", round);
}

static void group_create(struct bench *bench, struct secenv_client *client)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__GroupCreate create = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)BENCH_MN_CSE};
    create.name = bench->group;
    create.function = (char *)(uintptr_t) "bench";
    create.n_sites = 1;
    create.sites = sites;
    create.response_window_ms = RESPONSE_WINDOW_MS;
    create.sign_member_messages = true;
    create.authority_only = true;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_CREATE;
    request.group_create = &create;
    secenv_client_free(environment_call(client, &request));
}

static void order_send(struct bench *bench)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__OrderSend order = GROUPSEAL__SECENV__ORDER_SEND__INIT;
    order.group = bench->group;
    order.body = (ProtobufCBinaryData){.len = BODY_LENGTH, .data = body};
    order.valid_ms = VALID_MS;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SEND;
    request.order_send = &order;
    ferry_request(bench->ferry, bench->operator_party, &request, "the order");
}

static void message_send(struct bench *bench)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Speak speak = GROUPSEAL__SECENV__SPEAK__INIT;
    speak.identity = (char *)(uintptr_t)DEVICE;
    speak.group = bench->group;
    speak.body = (ProtobufCBinaryData){.len = BODY_LENGTH, .data = body};
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SPEAK;
    request.speak = &speak;
    ferry_request(bench->ferry, bench->device_party, &request, DEVICE);
}

/* ---- measuring ---- */

static double all_cpu_s(const struct bench *bench)
{
    return environment_cpu_s(&bench->authority) + environment_cpu_s(&bench->relay) +
           environment_cpu_s(&bench->device);
}

/* Sends `count`, at most WINDOW under way, until `*taken` has risen by as many. */
static double through_cpu_s(struct bench *bench, unsigned count, void (*send)(struct bench *bench),
                            const unsigned *taken)
{
    unsigned before = *taken;
    unsigned sent = 0;
    double progress_s = bench_now_s();
    double start = all_cpu_s(bench);
    while (*taken - before < count) {
        unsigned was = *taken;
        while (sent < count && sent - (*taken - before) < WINDOW) {
            send(bench);
            sent++;
        }
        ferry_pump(bench->ferry, 100);
        progress_s = *taken == was ? progress_s : bench_now_s();
        if (bench_now_s() - progress_s > STALL_S) {
            bench_fail("%u of %u came through, and no more", *taken - before, count);
        }
    }
    return all_cpu_s(bench) - start;
}

static double bare_cpu_s(unsigned count, void (*one)(size_t))
{
    double start = bench_own_cpu_s();
    for (unsigned i = 0; i < count; i++) {
        one(BODY_LENGTH);
    }
    return bench_own_cpu_s() - start;
}

static void measure(struct bench *bench, const char *kind, unsigned rounds, unsigned count,
                    void (*send)(struct bench *bench), const unsigned *taken, void (*one)(size_t),
                    const size_t *overhead)
{
    double cpu_s = 0;
    double bare_s = 0;
    (void)bare_cpu_s(count, one);
    group_name(bench, 0);
    (void)through_cpu_s(bench, WINDOW, send, taken);
    for (unsigned i = 1; i <= rounds; i++) {
        group_name(bench, i);
        bare_s += bare_cpu_s(count, one);
        cpu_s += through_cpu_s(bench, count, send, taken);
    }
    double total = (double)rounds * count;
    printf("{\"bench\": \"seal\", \"kind\": \"%s\", \"per_cpu_s\": %.1f, \"bare_per_cpu_s\": %.1f, "
           "\"ratio\": %.3f, \"overhead_bytes\": %zu}\n",
           kind, total / cpu_s, total / bare_s, bare_s / cpu_s, *overhead);
    (void)fflush(stdout);
}

/* ---- all of it ---- */

static void status_ask(struct bench *bench)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    ferry_request(bench->ferry, bench->device_party, &request, DEVICE);
}

/* Three authentications, the packages, the group's state, the device's sync. */
static void site_open(struct bench *bench, unsigned groups)
{
    struct secenv_client *client = environment_connect(bench->authority.operator_socket);
    members_add(client);
    for (unsigned i = 0; i < groups; i++) {
        group_name(bench, i);
        group_create(bench, client);
    }
    secenv_client_close(client);
    ferry_online(bench->ferry, bench->authority_party, BENCH_IN_CSE);
    ferry_online(bench->ferry, bench->relay_party, BENCH_MN_CSE);
    ferry_online(bench->ferry, bench->device_party, DEVICE);
    double start_s = bench_now_s();
    double asked_s = start_s;
    while (bench->synchronised < groups) {
        if (bench_now_s() - start_s > STALL_S) {
            bench_fail("the device does not synchronise: see the logs in %s", bench->folder);
        }
        if (bench_now_s() - asked_s > STATUS_S) {
            asked_s = bench_now_s();
            status_ask(bench);
        }
        ferry_pump(bench->ferry, 100);
    }
}

int main(int argc, char **argv)
{
    static struct bench bench;
    if (argc != 5) {
        (void)fputs("usage: bench_seal FOLDER SECENV ROUNDS COUNT\n", stderr);
        return 2;
    }
    const struct ferry_watch watch = {.published = published,
                                      .command = commanded,
                                      .message = messaged,
                                      .reply = reply_taken,
                                      .context = &bench};
    unsigned rounds = (unsigned)strtoul(argv[3], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[4], NULL, 10);
    bench.folder = argv[1];
    bench.program = argv[2];
    start_one(&bench, &bench.authority, "in-cse", IDENTITY_IN_CSE);
    start_one(&bench, &bench.relay, "mn-1", IDENTITY_MN_CSE);
    start_one(&bench, &bench.device, "Sbench000000", IDENTITY_ADN_AE);
    bench.ferry = ferry_new(&watch);
    bench.authority_party = ferry_add(bench.ferry, bench.authority.owner_socket);
    bench.relay_party = ferry_add(bench.ferry, bench.relay.owner_socket);
    bench.device_party = ferry_add(bench.ferry, bench.device.owner_socket);
    site_open(&bench, rounds + 1);
    bench.operator_party = ferry_add(bench.ferry, bench.authority.operator_socket);
    bench.measuring = true;
    measure(&bench, "command", rounds, count, order_send, &bench.commands, bare_command,
            &bench.command_overhead);
    measure(&bench, "message", rounds, count, message_send, &bench.messages, bare_message,
            &bench.message_overhead);
    ferry_free(bench.ferry);
    environment_stop(&bench.device);
    environment_stop(&bench.relay);
    environment_stop(&bench.authority);
    return 0;
}
