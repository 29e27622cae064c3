/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_RELAY_H
#define GROUPSEAL_SECENV_MEMBER_RELAY_H

#include "secenv/member/dispatch_command.h"
#include "secenv/member/evicted.h"
#include "secenv/member/holders.h"
#include "secenv/member/membership.h"
#include "secenv/member/past_epochs.h"
#include "secenv/member/roster.h"
#include "secenv/member/sync_reply.h"

/*
 * The MN-CSE's side of a group: it verifies each change, stores it, accepts it, and publishes it as retained
 * state, all of it again when it comes online. It climbs from what it has stored itself.
 */
struct relay {
    struct membership *membership;
    char site[SITE_LIMIT + 1]; /* its own */
    struct announced newest;   /* of the stored announcement */
    struct past_epochs past;
    struct roster roster;
    struct evicted_senders evicted; /* that announcements have named: the roster may not know it yet */
    struct sync_replies syncs;
    struct dispatches dispatches;
    struct holders holders;
    uint64_t epoch_sealed;    /* open commands have been sealed in this epoch */
    bool news_wanted;         /* a member still speaks in an epoch before */
    uint64_t roster_asked_us; /* when the whole roster was asked for last; 0: never */
    bool roster_ask_due;      /* it is to be asked for again, when it is time */
    uint64_t roster_gap_us;   /* since then a delta waits for one before it; 0: none does */
    uint64_t news_given_us;   /* when announcement and policy were published last */
    uint64_t news_held_us;    /* since then the stored ones are not published; 0: they are */
};

extern const char relay_schema[];

/* Makes the relay of a membership and loads what is stored. */
enum result relay_open(struct membership *membership, struct reason *why) MUST_USE;
void relay_free(struct relay *relay); /* NULL is allowed */
/* Deletes what is stored of the group. */
enum result relay_drop(struct membership *membership, struct reason *why) MUST_USE;

/* RESULT_NOT_READY where the group's key package is not here yet. */
enum result relay_take_change(struct identity_state *identity, const Groupseal__Envelope__Change *change,
                              struct reason *why) MUST_USE;
/* The stored policy and announcement, for the MN-CSE's own membership; nothing for a device. */
enum result relay_climb(struct membership *membership, struct reason *why) MUST_USE;

enum result relay_publish_all(struct membership *membership, struct reason *why) MUST_USE;
/* Takes the retained state back: the group is gone, or this MN-CSE no longer relays it. */
enum result relay_unpublish(struct membership *membership, struct reason *why) MUST_USE;
/* A member speaks in an epoch before: publish the news again, now and then. */
void relay_news_wanted(struct relay *relay);

/* NEWEST to the authority: what is stored of all groups, as it is when it is sent. */
enum result relay_report_newest(struct identity_state *identity, struct reason *why) MUST_USE;
/* The authority has started, and asks for it. */
enum result relay_take_newest_ask(struct identity_state *identity, const Groupseal__Envelope__NewestAsk *ask,
                                  struct reason *why) MUST_USE;
enum result relay_newest_fill(const struct identity_state *identity, struct arena *arena,
                              Groupseal__Envelope__Newest *out, struct reason *why) MUST_USE;

/* A device that is expected at this site: not one of the group's relays. */
bool relay_has_device(const struct relay *relay, const struct roster_member *member);

enum result relay_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
