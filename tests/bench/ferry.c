/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/ferry.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Groupseal__Secenv__ToSecenv ToSecenv;
typedef Groupseal__Secenv__FromSecenv FromSecenv;

#define PARTIES_MAX 4u
#define PENDING_MAX 8192u
#define RETAINED_MAX 64u
#define NAME_SIZE 129u
#define FULL_MS 10000

enum pending_kind { PENDING_NONE, PENDING_RECEIVED, PENDING_ANSWERED, PENDING_HEARD, PENDING_OTHER };

/* A request that waits for its reply, at its id. */
struct pending {
    enum pending_kind kind;
    uint64_t id;
    size_t origin; /* RECEIVED: who sent the object, and under which token */
    uint64_t token;
    char identity[NAME_SIZE];
};

struct party {
    struct secenv_client *client;
    char **identities;
    size_t count;
    struct pending pending[PENDING_MAX];
};

struct retained {
    Groupseal__Secenv__Heard heard;
    char site[NAME_SIZE];
    char group[NAME_SIZE];
    uint8_t payload[SECENV_PACKET_LIMIT];
};

struct ferry {
    struct ferry_watch watch;
    struct party parties[PARTIES_MAX];
    size_t party_count;
    struct retained *retained[RETAINED_MAX];
    size_t retained_count;
};

struct ferry *ferry_new(const struct ferry_watch *watch)
{
    struct ferry *ferry = calloc(1, sizeof(*ferry));
    if (ferry == NULL) {
        bench_fail("out of memory");
    }
    ferry->watch = *watch;
    return ferry;
}

void ferry_free(struct ferry *ferry)
{
    for (size_t i = 0; i < ferry->party_count; i++) {
        struct party *party = &ferry->parties[i];
        secenv_client_close(party->client);
        for (size_t j = 0; j < party->count; j++) {
            free(party->identities[j]);
        }
        free(party->identities);
    }
    for (size_t i = 0; i < ferry->retained_count; i++) {
        free(ferry->retained[i]);
    }
    free(ferry);
}

static void learn_identities(struct party *party)
{
    ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Status status = GROUPSEAL__SECENV__STATUS__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS;
    request.status = &status;
    FromSecenv *message = environment_call(party->client, &request);
    const Groupseal__Secenv__StatusReply *reply = message->reply->status;
    party->count = reply->n_identities;
    party->identities = calloc(party->count + 1, sizeof(*party->identities));
    for (size_t i = 0; party->identities != NULL && i < party->count; i++) {
        party->identities[i] = strdup(reply->identities[i]->identity);
    }
    secenv_client_free(message);
}

size_t ferry_add(struct ferry *ferry, const char *socket)
{
    if (ferry->party_count == PARTIES_MAX) {
        bench_fail("too many parties");
    }
    struct party *party = &ferry->parties[ferry->party_count];
    party->client = environment_connect(socket);
    learn_identities(party);
    ferry->party_count++;
    return ferry->party_count - 1;
}

/* ---- sending ---- */

static uint64_t send_surely(struct secenv_client *client, ToSecenv *request)
{
    uint64_t id = 0;
    while ((id = secenv_client_send(client, request)) == 0) {
        struct pollfd full = {.fd = secenv_client_fd(client), .events = POLLOUT};
        if (errno != EAGAIN || poll(&full, 1, FULL_MS) != 1) {
            bench_fail("secenv takes no request: %s", strerror(errno));
        }
    }
    return id;
}

static struct pending *request_send(struct ferry *ferry, size_t party, ToSecenv *request,
                                    enum pending_kind kind, const char *identity)
{
    uint64_t id = send_surely(ferry->parties[party].client, request);
    struct pending *pending = &ferry->parties[party].pending[id % PENDING_MAX];
    if (pending->kind != PENDING_NONE) {
        bench_fail("too many requests under way");
    }
    *pending = (struct pending){.kind = kind, .id = id};
    (void)snprintf(pending->identity, sizeof(pending->identity), "%s", identity);
    return pending;
}

void ferry_request(struct ferry *ferry, size_t party, ToSecenv *request, const char *identity)
{
    (void)request_send(ferry, party, request, PENDING_OTHER, identity);
}

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant; /* protobuf-c's fields are not const */
}

void ferry_online(struct ferry *ferry, size_t party, const char *identity)
{
    ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Online online = GROUPSEAL__SECENV__ONLINE__INIT;
    online.identity = text(identity);
    online.online = true;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
    request.online = &online;
    ferry_request(ferry, party, &request, identity);
}

/* ---- objects and their answers ---- */

static size_t party_of(const struct ferry *ferry, const char *identity)
{
    for (size_t i = 0; i < ferry->party_count; i++) {
        for (size_t j = 0; j < ferry->parties[i].count; j++) {
            if (strcmp(ferry->parties[i].identities[j], identity) == 0) {
                return i;
            }
        }
    }
    bench_fail("%s is nobody's identity", identity);
}

static void object_carry(struct ferry *ferry, size_t origin, const char *from,
                         const Groupseal__Secenv__Send *object)
{
    ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Received received = GROUPSEAL__SECENV__RECEIVED__INIT;
    received.identity = object->to;
    received.from = text(from);
    received.hop = text(from);
    received.object = object->object;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED;
    request.received = &received;
    struct pending *pending =
        request_send(ferry, party_of(ferry, object->to), &request, PENDING_RECEIVED, from);
    pending->origin = origin;
    pending->token = object->token;
}

static void answer_carry(struct ferry *ferry, const struct pending *pending,
                         const Groupseal__Secenv__Reply *reply)
{
    ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Answered answered = GROUPSEAL__SECENV__ANSWERED__INIT;
    answered.identity = text(pending->identity);
    answered.token = pending->token;
    if (reply->code == GROUPSEAL__SECENV__CODE__OK) {
        answered.object = reply->answer->object;
    } else {
        answered.failure = reply->reason;
    }
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED;
    request.answered = &answered;
    (void)request_send(ferry, pending->origin, &request, PENDING_ANSWERED, pending->identity);
}

static void reply_take(struct ferry *ferry, size_t party, const Groupseal__Secenv__Reply *reply)
{
    struct pending *place = &ferry->parties[party].pending[reply->id % PENDING_MAX];
    const struct pending pending = *place;
    if (pending.kind == PENDING_NONE || pending.id != reply->id) {
        bench_fail("a reply to no request");
    }
    place->kind = PENDING_NONE;
    if (pending.kind == PENDING_RECEIVED) {
        answer_carry(ferry, &pending, reply);
        return;
    }
    /* What an identity hears before it has joined is not for it yet. */
    if (reply->code != GROUPSEAL__SECENV__CODE__OK && pending.kind != PENDING_HEARD) {
        bench_fail("%s: %s", pending.identity, reply->reason);
    }
    if (pending.kind == PENDING_ANSWERED && ferry->watch.answered != NULL) {
        ferry->watch.answered(ferry->watch.context, pending.identity);
    }
    if (pending.kind == PENDING_OTHER && ferry->watch.reply != NULL) {
        ferry->watch.reply(ferry->watch.context, reply, pending.identity);
    }
}

/* ---- group topics ---- */

static bool is_relay(const char *identity)
{
    return strcmp(identity, BENCH_MN_CSE) == 0;
}

static bool is_authority(const char *identity)
{
    return strcmp(identity, BENCH_IN_CSE) == 0;
}

/* Members' topics go to the MN-CSE, its own to all devices. */
static bool hears(const char *identity, Groupseal__Secenv__TopicKind kind)
{
    bool from_members = kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE ||
                        kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK;
    return !is_authority(identity) && is_relay(identity) == from_members;
}

static void hear(struct ferry *ferry, size_t party, const char *identity, Groupseal__Secenv__Heard *heard)
{
    ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    heard->identity = text(identity);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    request.heard = heard;
    (void)request_send(ferry, party, &request, PENDING_HEARD, identity);
}

static void retain(struct ferry *ferry, const Groupseal__Secenv__Heard *heard)
{
    size_t i = 0;
    while (i < ferry->retained_count && (ferry->retained[i]->heard.kind != heard->kind ||
                                         strcmp(ferry->retained[i]->group, heard->group) != 0)) {
        i++;
    }
    if (i == RETAINED_MAX || heard->payload.len > SECENV_PACKET_LIMIT) {
        bench_fail("too much is retained");
    }
    if (i == ferry->retained_count) {
        ferry->retained[i] = calloc(1, sizeof(struct retained));
        if (ferry->retained[i] == NULL) {
            bench_fail("out of memory");
        }
        ferry->retained_count++;
    }
    struct retained *retained = ferry->retained[i];
    (void)snprintf(retained->site, sizeof(retained->site), "%s", heard->site);
    (void)snprintf(retained->group, sizeof(retained->group), "%s", heard->group);
    memcpy(retained->payload, heard->payload.data, heard->payload.len);
    retained->heard = *heard;
    retained->heard.site = retained->site;
    retained->heard.group = retained->group;
    retained->heard.sender = text("");
    retained->heard.retained = true;
    retained->heard.payload = (ProtobufCBinaryData){.len = heard->payload.len, .data = retained->payload};
}

static void publish_carry(struct ferry *ferry, const Groupseal__Secenv__Publish *publish)
{
    Groupseal__Secenv__Heard heard = GROUPSEAL__SECENV__HEARD__INIT;
    heard.site = publish->site;
    heard.group = publish->group;
    heard.kind = publish->kind;
    heard.sender = publish->sender;
    heard.row = publish->row;
    heard.column = publish->column;
    heard.payload = publish->payload;
    if (publish->retained) {
        retain(ferry, &heard);
    }
    for (size_t i = 0; i < ferry->party_count; i++) {
        for (size_t j = 0; j < ferry->parties[i].count; j++) {
            if (hears(ferry->parties[i].identities[j], publish->kind)) {
                hear(ferry, i, ferry->parties[i].identities[j], &heard);
            }
        }
    }
    if (ferry->watch.published != NULL) {
        ferry->watch.published(ferry->watch.context, publish);
    }
}

static void subscribe(struct ferry *ferry, size_t party, const char *identity, const char *group)
{
    for (size_t i = 0; i < ferry->retained_count && !is_relay(identity); i++) {
        if (strcmp(ferry->retained[i]->group, group) == 0) {
            Groupseal__Secenv__Heard heard = ferry->retained[i]->heard;
            hear(ferry, party, identity, &heard);
        }
    }
}

/* ---- events ---- */

static void event_take(struct ferry *ferry, size_t party, const Groupseal__Secenv__Event *event)
{
    const struct ferry_watch *watch = &ferry->watch;
    switch (event->content_case) {
    case GROUPSEAL__SECENV__EVENT__CONTENT_SEND:
        object_carry(ferry, party, event->identity, event->send);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_PUBLISH:
        publish_carry(ferry, event->publish);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_JOINED:
        subscribe(ferry, party, event->identity, event->joined->group);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE:
        subscribe(ferry, party, event->identity, event->resubscribe->group);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND:
        if (watch->command != NULL) {
            watch->command(watch->context, event->identity, event->command);
        }
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE:
        if (watch->message != NULL) {
            watch->message(watch->context, event->identity, event->message);
        }
        break;
    default:
        break;
    }
}

static void party_drain(struct ferry *ferry, size_t party)
{
    for (;;) {
        FromSecenv *message = NULL;
        switch (secenv_client_receive(ferry->parties[party].client, &message)) {
        case SECENV_CLIENT_NOTHING:
            return;
        case SECENV_CLIENT_LOST:
            bench_fail("the connection to a secenv is lost: see its log");
        case SECENV_CLIENT_MESSAGE:
            break;
        }
        if (message->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY) {
            reply_take(ferry, party, message->reply);
        } else {
            event_take(ferry, party, message->event);
        }
        secenv_client_free(message);
    }
}

void ferry_pump(struct ferry *ferry, int timeout_ms)
{
    struct pollfd fds[PARTIES_MAX];
    for (size_t i = 0; i < ferry->party_count; i++) {
        fds[i] = (struct pollfd){.fd = secenv_client_fd(ferry->parties[i].client), .events = POLLIN};
    }
    if (poll(fds, ferry->party_count, timeout_ms) <= 0) {
        return;
    }
    for (size_t i = 0; i < ferry->party_count; i++) {
        if (fds[i].revents != 0) {
            party_drain(ferry, i);
        }
    }
}
