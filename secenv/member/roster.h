/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_ROSTER_H
#define GROUPSEAL_SECENV_MEMBER_ROSTER_H

#include "secenv/bucket.h"
#include "secenv/member/holder.h"
#include "secenv/objects/object.h"

struct identity_state;
struct membership;
struct relay;

/*
 * Who is a member of a group, as the authority has signed it, at the MN-CSE: numbered deltas, each with the
 * hash of its result; where one is missing the whole is asked for, and comes in pages. The plugin gets the
 * list of names from here, and receipts and messages are checked against its keys.
 */
struct roster_member {
    struct holder holder;
    uint64_t incarnation;
    uint64_t serial;
    uint8_t key[VERIFY_KEY_SIZE];
    char site[SITE_LIMIT + 1];
    struct bucket syncs; /* in memory only; another roster changes nothing of it */
    char name[];
};

struct roster {
    bool present;
    uint64_t incarnation;
    uint64_t number;
    uint8_t hash[HASH_SIZE];
    uint64_t highest_serial;        /* of all that were in it since it was loaded */
    struct roster_member **members; /* in byte order of their names */
    size_t count;
    size_t capacity;
};

#define ROSTER_PAGES_LIMIT 8192u
#define ROSTER_EVENT_NAMES 256u

extern const char roster_schema[];

enum result roster_load(struct relay *relay, struct reason *why) MUST_USE;
void roster_clear(struct roster *roster);
enum result roster_drop(struct relay *relay, struct reason *why) MUST_USE;

/* What holders.h keeps of it may be changed. */
struct roster_member *roster_member(struct relay *relay, const char *name);
/* A member at this site; NULL for one of another, who is heard there and not here. */
const struct roster_member *roster_find(const struct relay *relay, const char *name);
/* Who signs as `name` with this serial; NULL where it is no member of it, or an announcement says that it was
 * evicted. */
const struct roster_member *roster_find_sender(const struct relay *relay, const char *name, uint64_t serial);

/*
 * A member of the roster asks for a sync: each is answered to the whole group, and brings it every open
 * command again, so one that keeps asking is let alone. False: it has asked too often; it may ask again.
 */
#define ROSTER_SYNCS_BURST 5u
#define ROSTER_SYNCS_INTERVAL_US 15000000u
bool roster_sync_take(struct relay *relay, const char *name);

/* RESULT_NOT_READY where the group's key package is not here yet. A delta that does not follow is not an
 * error: the whole roster is asked for. */
enum result roster_take_delta(struct identity_state *identity, const Groupseal__Envelope__RosterDelta *delta,
                              struct reason *why) MUST_USE;
enum result roster_take_page(struct identity_state *identity, const Groupseal__Envelope__RosterPage *page,
                             struct reason *why) MUST_USE;

/* Asks for the whole roster again where that had to wait. */
#define ROSTER_ASK_INTERVAL_US 10000000u
enum result roster_turn(struct relay *relay, uint64_t *next, struct reason *why) MUST_USE;

/* The whole list of this site, to the plugin. `deleted`: the group has none any more. */
enum result roster_publish(const struct relay *relay, bool deleted) MUST_USE;

#endif
