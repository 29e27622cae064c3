/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_REVOCATION_H
#define GROUPSEAL_SECENV_AUTHORITY_REVOCATION_H

#include "secenv/authority/member.h"
#include "secenv/revocation.h"

/*
 * The CRLs of the end-to-end CA at the authority: given by the operator or provisioned, used for every
 * handshake from then on, handed to every member with a certificate (slot "revocation"; the lists go into the
 * record when it is sent), and held against the associations there are. The association of a certificate that
 * is revoked ends, and its member's leaves leave the groups, as in an eviction; but the member stays in the
 * roster, and may come back with another certificate.
 */
#define REVOCATION_EACH 64u /* members that are handed the lists at a time … */
#define REVOCATION_PAUSE_US 1000000u
#define REVOCATION_NAMES_LIMIT 64u /* of one reply */

struct revocations {
    int64_t version;    /* a hash of the lists in use; 0: there is none */
    int64_t cursor;     /* the last member that was looked at */
    uint64_t feed_us;   /* monotonic: the next look; UINT64_MAX: all have been */
    bool too_long;      /* the lists do not fit one record: nobody is handed them */
    uint64_t look_us;   /* monotonic: when overdue lists are looked for next */
    bool told;          /* that one is overdue, or that there is none */
    uint64_t warned_of; /* next_update of the list that a warning was told of */
};

extern const char member_revocation_schema[];

/* What is stored and provisioned; associations of certificates that were revoked meanwhile end. */
enum result revocations_open(struct engine *engine, struct reason *why) MUST_USE;

/* Operator. */
enum result revocation_set(struct engine *engine, const Groupseal__Secenv__RevocationSet *request,
                           struct arena *arena, Groupseal__Secenv__Revocations **out,
                           struct reason *why) MUST_USE;
enum result revocation_show(struct engine *engine, struct arena *arena, Groupseal__Secenv__Revocations **out,
                            struct reason *why) MUST_USE;

/* This member has authenticated: it is handed the lists, where it has not said that it has them. */
enum result revocation_member(struct engine *engine, const struct member *member, bool anew,
                              struct reason *why) MUST_USE;
/* It has said so. */
enum result revocation_taken(struct engine *engine, const struct member *member, struct reason *why) MUST_USE;
/* The lists in use, into a record. */
enum result revocation_fill(const struct engine *engine, struct arena *arena,
                            Groupseal__Envelope__Revocation *out) MUST_USE;

/* Hands lists out, tells when one is overdue. Lowers `*next`. */
enum result revocation_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

#endif
