/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_BENCH_FERRY_H
#define GROUPSEAL_BENCH_FERRY_H

#include "tests/bench/environment.h"

/*
 * What in-cse, mn_cse.so and adn-ae do between secure environments, without a broker: objects go to whom they
 * are for, answers back, group messages to those who subscribe, retained ones to who joins later.
 */
struct ferry;

/* What the benchmark wants to hear of. */
struct ferry_watch {
    /* The answer to an object of this identity was given to its secenv, which took it. */
    void (*answered)(void *context, const char *identity);
    void (*published)(void *context, const Groupseal__Secenv__Publish *publish);
    void (*command)(void *context, const char *identity, const Groupseal__Secenv__CommandEvent *command);
    void (*message)(void *context, const char *identity, const Groupseal__Secenv__MessageEvent *message);
    /* The reply to a request of ferry_request. */
    void (*reply)(void *context, const Groupseal__Secenv__Reply *reply, const char *identity);
    void *context;
};

struct ferry *ferry_new(const struct ferry_watch *watch);
void ferry_free(struct ferry *ferry); /* closes the clients */
/* Connects to an environment; it is then the party of its identities. Returns its number. */
size_t ferry_add(struct ferry *ferry, const char *socket);

/* Sends a request that is not the ferry's own; a refusal ends the benchmark. `identity` is handed to reply.
 */
void ferry_request(struct ferry *ferry, size_t party, Groupseal__Secenv__ToSecenv *request,
                   const char *identity);
void ferry_online(struct ferry *ferry, size_t party, const char *identity);
/* Hands on what has come; waits for it at most so long. */
void ferry_pump(struct ferry *ferry, int timeout_ms);

#endif
