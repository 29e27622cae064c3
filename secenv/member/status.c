/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/status.h"

#include <stdio.h>

#include "secenv/member/membership.h"
#include "secenv/member/overdue.h"
#include "secenv/member/relay.h"

/* A reply is one packet of 64 KiB: a simulator's many identities are told as far as they fit. */
#define STATUS_LIMIT ((size_t)48 * 1024)

typedef Groupseal__Secenv__StatusReply StatusReply;
typedef Groupseal__Secenv__IdentityStatus IdentityStatus;
typedef Groupseal__Secenv__GroupStatus GroupStatus;

enum result status_welcome(const struct engine *engine, struct arena *arena, Groupseal__Secenv__Reply *reply)
{
    Groupseal__Secenv__Welcome *welcome = arena_alloc(arena, sizeof(*welcome));
    char **names = arena_alloc(arena, (engine->identity_count + 1) * sizeof(char *));
    if (welcome == NULL || names == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__welcome__init(welcome);
    welcome->profile = (char *)"member";
    welcome->identities = names;
    size_t size = 0;
    for (size_t i = 0; i < engine->identity_count && size < STATUS_LIMIT; i++) {
        names[welcome->n_identities++] = engine->identities[i]->identity.name;
        size += sizeof(engine->identities[i]->identity.name);
    }
    if (engine->identity_count > 0) {
        welcome->authority = engine->identities[0]->identity.authority;
    }
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
    reply->welcome = welcome;
    return RESULT_OK;
}

/* ---- groups ---- */

static char *instance_text(struct arena *arena, const struct membership *membership)
{
    char text[2 * INSTANCE_SIZE + 1];
    for (size_t i = 0; i < INSTANCE_SIZE; i++) {
        (void)snprintf(&text[2 * i], 3, "%02x", membership->instance[i]);
    }
    return arena_text(arena, text);
}

static bool all_synchronised(const struct membership *membership)
{
    for (size_t i = 0; i < membership->site_count; i++) {
        if (!membership->sites[i].synchronised) {
            return false;
        }
    }
    return membership->relay == NULL;
}

static enum result group_status(struct membership *membership, struct arena *arena, GroupStatus **out)
{
    GroupStatus *status = arena_alloc(arena, sizeof(*status));
    char **sites = arena_alloc(arena, (membership->site_count + 1) * sizeof(char *));
    if (status == NULL || sites == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__group_status__init(status);
    status->group = membership->group;
    status->instance = instance_text(arena, membership);
    status->incarnation = membership->incarnation;
    status->epoch = membership->current.present ? membership->current.epoch : 0;
    status->members = membership->relay == NULL ? 0 : (uint32_t)membership->relay->roster.count;
    status->synchronised = all_synchronised(membership);
    status->overdue = overdue_is(membership);
    status->commander = membership->relay != NULL && dispatch_may_command(membership->relay);
    status->sites = sites;
    for (size_t i = 0; i < membership->site_count; i++) {
        sites[status->n_sites++] = membership->sites[i].site;
    }
    *out = status;
    return status->instance == NULL ? RESULT_INTERNAL : RESULT_OK;
}

/* ---- identities ---- */

static enum result identity_status(struct identity_state *identity, struct arena *arena, IdentityStatus **out)
{
    IdentityStatus *status = arena_alloc(arena, sizeof(*status));
    GroupStatus **groups = arena_alloc(arena, (identity->membership_count + 1) * sizeof(GroupStatus *));
    if (status == NULL || groups == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__identity_status__init(status);
    status->identity = identity->identity.name;
    status->mode = (char *)(identity->identity.mode == CREDENTIALS_CERT ? "cert" : "psk");
    status->associated = identity->associated;
    if (identity->associated) {
        status->mechanism = identity->association.agreement.mechanism;
    }
    GUARD(limits_status(&identity->limits, arena, &status->limits, &status->n_limits));
    status->groups = groups;
    for (struct membership *membership = identity->memberships; membership != NULL;
         membership = membership->next) {
        GUARD(group_status(membership, arena, &groups[status->n_groups]));
        status->n_groups++;
    }
    *out = status;
    return RESULT_OK;
}

static enum result identities_status(const struct engine *engine, struct arena *arena, StatusReply *status)
{
    status->identities = arena_alloc(arena, (engine->identity_count + 1) * sizeof(IdentityStatus *));
    if (status->identities == NULL) {
        return RESULT_INTERNAL;
    }
    size_t size = 0;
    for (size_t i = 0; i < engine->identity_count && size < STATUS_LIMIT; i++) {
        IdentityStatus **place = &status->identities[status->n_identities];
        GUARD(identity_status(engine->identities[i], arena, place));
        size += groupseal__secenv__identity_status__get_packed_size(*place) + 4;
        status->n_identities += size < STATUS_LIMIT ? 1 : 0;
    }
    return RESULT_OK;
}

enum result status_reply(const struct engine *engine, struct arena *arena, Groupseal__Secenv__Reply *reply)
{
    StatusReply *status = arena_alloc(arena, sizeof(*status));
    if (status == NULL) {
        return RESULT_INTERNAL;
    }
    groupseal__secenv__status_reply__init(status);
    GUARD(identities_status(engine, arena, status));
    reply->content_case = GROUPSEAL__SECENV__REPLY__CONTENT_STATUS;
    reply->status = status;
    return RESULT_OK;
}
