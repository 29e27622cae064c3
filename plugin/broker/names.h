/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_NAMES_H
#define GROUPSEAL_PLUGIN_NAMES_H

#include "plugin/agent/table.h"

#include <stdbool.h>

struct mosquitto;

/*
 * The name that a connection has proven. A client without a certificate has its user name (a password, or a
 * pre-shared key, is the broker's to check). One with a certificate must have it in there: the broker tells
 * no plugin whether a listener makes it the user name, or lets the client choose. What a certificate says is
 * kept as long as its connection shows that same certificate. Main thread only; starts zeroed.
 */
enum names_source {
    NAMES_USER, /* the user name, which must be the common name, the subject, or one of the alternative names
                 */
    NAMES_PASSWORD, /* the user name: passwords prove it, certificates do not matter */
    NAMES_CN,       /* the certificate's common name */
    NAMES_DNS,      /* its only alternative name of this type … */
    NAMES_URI,      /* … and of this */
};

#define NAMES_LIMIT 512u /* bytes of a name */

struct names {
    enum names_source source;
    struct table by_client;
};

/* NULL: it has proven none. Lives until the next call. `reading`: it is asked about as a reader, and may be a
 * session that is offline. `*refused`: it claims a name that its certificate does not have. */
const char *names_find(struct names *names, const struct mosquitto *client, bool reading, bool *refused);
/* Its connection has ended: what it has proven counts for reading on, where its session stays. */
void names_gone(struct names *names, const struct mosquitto *client, bool session_stays);
/* Another source counts from now on, or none. */
void names_clear(struct names *names);

#endif
