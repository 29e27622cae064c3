/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_CALLS_H
#define GROUPSEAL_PLUGIN_CALLS_H

#include "secenv/client/secenv_client.h"

/* The courier's requests to secenv, in the order in which they were made. Whoever has one owns it. */
struct call {
    uint64_t tag;
    uint64_t id;      /* of the request on the connection; set when it is sent */
    uint64_t sent_ms; /* monotonic */
    size_t size;
    Groupseal__Secenv__ToSecenv *request; /* freed when sent */
    struct call *next;
};

struct calls {
    struct call *first;
    struct call **last;
    size_t count;
    size_t bytes;
};

void calls_init(struct calls *calls);
void calls_push(struct calls *calls, struct call *call);
struct call *calls_pop(struct calls *calls);                 /* NULL: none */
void calls_put_back(struct calls *calls, struct call *call); /* before all others */
void calls_clear(struct calls *calls);

/* Of a copy of the request, which can cross to another thread. NULL: too large, or out of memory. */
struct call *call_new(uint64_t tag, const Groupseal__Secenv__ToSecenv *request);
void call_free(struct call *call); /* NULL is allowed */

#endif
