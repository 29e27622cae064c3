/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_CONNECTION_TROUBLE_H
#define GROUPSEAL_AGENTS_CONNECTION_TROUBLE_H

#include "agents/connection/credentials.h"

/* What keeps a client from its broker, in the log: each trouble once, until there is another or it is over.
 * Starts zeroed. */
struct trouble {
    char said[512]; /* the one that was logged last; "" when all is well */
};

__attribute__((format(printf, 2, 3))) void trouble_say(struct trouble *trouble, const char *format, ...);
/* A connect failed with Paho's code and text (NULL: none); `note`: OpenSSL's words, or "". */
void trouble_connecting(struct trouble *trouble, const struct credentials *credentials, int code,
                        const char *text, const char *note);
/* Connected. */
void trouble_over(struct trouble *trouble, const struct credentials *credentials);

#endif
