/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_MEMBERSHIP_END_H
#define GROUPSEAL_SECENV_AUTHORITY_MEMBERSHIP_END_H

#include "secenv/authority/member.h"

/*
 * Who is a member no more: evicted by the operator's word, or cut off because its certificate was revoked.
 * The leaves go with the groups' next change, which is made in the same batch.
 */

/* Operator: all whom the request names, or none; each is told (farewell.h). */
enum result member_evict(struct engine *engine, const Groupseal__Secenv__MemberEvict *request,
                         struct reason *why) MUST_USE;

/* Its certificate is revoked: its association ends, its leaves leave with the next change of its groups, and
 * it has a new serial when it comes back. */
enum result member_revoke(struct engine *engine, const char *name, struct reason *why) MUST_USE;

/* Evicts whom the evictions file names and this store does not know to be evicted: it is a backup. */
enum result member_evictions_apply(struct engine *engine, struct reason *why) MUST_USE;

#endif
