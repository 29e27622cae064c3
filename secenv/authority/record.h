/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_RECORD_H
#define GROUPSEAL_SECENV_AUTHORITY_RECORD_H

#include "secenv/authority/member.h"

/* Results of ACCEPT: docs/protocol.md section 4, "Outbox". */
enum accept {
    ACCEPT_TAKEN = 0,
    ACCEPT_INVALID = 1,
    ACCEPT_REFUSED = 2,
    ACCEPT_UNKNOWN = 3,
    ACCEPT_FULL = 4,
    ACCEPT_EXPIRED = 5,
    ACCEPT_NO_KEY = 6,
    ACCEPT_STORE = 7,
};

/*
 * A record of an association, from its member. Opened, acted on, and answered by an ACCEPT in the same
 * association where it has an item; the first one in a pending association promotes it. `answer` NULL:
 * nothing to answer. Other results than OK: not authentic (RECORDS_REFUSED was counted), or our own fault;
 * nothing changed.
 */
enum result record_take(struct engine *engine, const struct member *member,
                        const Groupseal__Envelope__Record *record, struct arena *arena,
                        Groupseal__Envelope__Record **answer, struct reason *why) MUST_USE;

#endif
