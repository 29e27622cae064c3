/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_NEW_MEMBER_H
#define GROUPSEAL_AGENTS_IN_CSE_NEW_MEMBER_H

#include "agents/in-cse/operator.h"
#include "agents/psk_file.h"

/* A member to be enrolled: what the user wrote, and what the secure environment is asked. */
#define NEW_MEMBERS_LIMIT 64u /* of one request, all or none */

/* Strings and the key of a NewMember; the rest points to the caller's. */
struct new_member {
    Groupseal__Secenv__NewMember message;
    char name[ONEM2M_ID_LIMIT + 1];
    char site[ONEM2M_ID_LIMIT + 1];
    uint8_t psk[PSK_LIMIT];
};

struct new_member_wish {
    const char *name;
    bool mn_cse;
    bool psk;
    const char *psk_file;     /* NULL or "": none */
    const char *psk_identity; /* NULL: the name */
    const char *site;         /* NULL or "": none */
    char **functions;
    size_t function_count;
};

/* False: what is wrong has been said. new_member_clear wipes the key, after either. */
bool new_member_make(const struct operator_session *session, const struct new_member_wish *wish,
                     struct new_member *out);
void new_member_clear(struct new_member *member);
/* Enrols all of them or none. */
enum exit_code new_members_add(struct operator_session *session, struct new_member *members, size_t count);

#endif
