/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_MEMBERSHIP_H
#define GROUPSEAL_SECENV_MEMBER_MEMBERSHIP_H

#include "secenv/counter.h"
#include "secenv/member/identity_state.h"
#include "secenv/member/receipt.h"
#include "secenv/member/silence.h"
#include "secenv/member/sync.h"
#include "secenv/member/waiting_room.h"

struct relay;

/*
 * An identity's place in one group: its leaf, the keys that it climbed to, and the policy that the current
 * announcement names. Table `membership`, one row for (identity, group); keys in `epoch_key`.
 */
#define MEMBERSHIP_SITES_LIMIT 4u
#define BLOCK_ROWS (TREE_HEIGHT_MAX / TREE_BLOCK_LEVELS)

/* What is kept of the announcement that was climbed to. */
struct announced {
    bool present;
    uint64_t incarnation;
    uint64_t epoch;
    uint64_t beat;
    uint32_t height; /* of the tree */
    uint8_t confirmation[HASH_SIZE];
    uint8_t policy_hash[HASH_SIZE];
};

struct epoch_key {
    bool present;
    uint64_t epoch;
    struct secret secret;
};

/* A verified lower block of the tree on the leaf's path. Memory only: it is retained in the broker. */
struct path_block {
    bool present;
    uint64_t incarnation;
    uint64_t epoch;
    uint32_t column;
    struct buffer nodes;
};

/* A verified policy and the hash that names it. */
struct known_policy {
    Groupseal__Envelope__Policy *policy; /* NULL: none */
    uint8_t hash[HASH_SIZE];
};

struct membership {
    struct membership *next;
    struct identity_state *identity;
    char group[GROUP_NAME_LIMIT + 1];
    uint8_t instance[INSTANCE_SIZE];
    uint64_t incarnation;
    uint64_t joined_epoch; /* the epoch in which the leaf entered the tree */
    uint32_t leaf_index;
    struct secret leaf;
    uint64_t serial;
    uint8_t authority_key[VERIFY_KEY_SIZE];

    /* news.c */
    struct announced announced;
    struct epoch_key current;
    struct epoch_key previous;
    uint64_t overlap_until_us;       /* monotonic: the end of `previous` for a member */
    bool previous_for_commands_only; /* somebody was, or may have been, evicted since */
    struct known_policy policy;      /* on disk */
    struct known_policy candidate;   /* newer; waits for the announcement that names it */
    struct announced waiting;        /* an announcement, verified, not climbed to yet … */
    struct buffer waiting_news;      /* … packed */
    uint64_t waiting_until_us;       /* then a new key package is asked for; 0: nothing waits */
    struct path_block blocks[BLOCK_ROWS];
    uint64_t package_asked_us; /* 0: never */
    uint64_t resubscribe_us;   /* when it is due; NEVER */
    uint64_t resubscribed_us;  /* 0: never */
    bool resubscribe_overdue;  /* on the silence of news alone */
    unsigned claims_followed;  /* resubscribed on a speaker's word alone since the last climb */

    /* overdue.c */
    uint64_t beat_us;          /* monotonic: the last higher epoch or beat, or the start */
    uint64_t overdue_asked_us; /* resubscribed for it */
    bool overdue_told;

    struct silence silence;

    bool waiting_due; /* key, policy or roster came: those that wait can be looked at again */
    struct counter seal_counter;
    bool commands_missed; /* some were let go that a key to come would have opened: ask for them again */
    struct waiting_room waiting_commands;
    struct waiting_room waiting_messages;

    struct site_sync sites[MEMBERSHIP_SITES_LIMIT];
    size_t site_count;
    struct receipt_queue receipts;
    uint64_t holding_due_us; /* monotonic: it says which epoch it has; NEVER */

    struct relay *relay; /* MN-CSE only */
};

extern const char membership_schema[];

struct membership *membership_find(const struct identity_state *identity, const char *group);
struct site_sync *membership_site(struct membership *membership, const char *site);

/* Current key and the policy that its announcement names are here. */
bool membership_ready(const struct membership *membership);
/* The policy that the current announcement names, or NULL. */
const Groupseal__Envelope__Policy *membership_policy(const struct membership *membership);

/* Over this time members spread what they all have to say: the policy's window, and at least half a
 * millisecond for each place of the tree, so that a large group is no storm. */
uint64_t membership_response_window_us(const struct membership *membership);

/* Which key a header's epoch asks for. */
enum epoch_age { EPOCH_CURRENT, EPOCH_PREVIOUS, EPOCH_NEWER, EPOCH_GONE };
enum epoch_age membership_epoch_age(const struct membership *membership, uint64_t epoch);

/* Loads all of an identity's memberships from the store. */
enum result membership_load_all(struct identity_state *identity, struct reason *why) MUST_USE;
void membership_free(struct membership *membership); /* wipes; NULL is allowed */

/* KEY PACKAGE and LEFT, out of a record that the association has authenticated. */
enum result membership_take_package(struct identity_state *identity,
                                    const Groupseal__Envelope__KeyPackage *package,
                                    struct reason *why) MUST_USE;
enum result membership_take_left(struct identity_state *identity, const Groupseal__Envelope__Left *left,
                                 struct reason *why) MUST_USE;

/* The authority has taken an incarnation: what is of a lower one is over, all of it. */
enum result memberships_end_before(struct identity_state *identity, uint64_t incarnation,
                                   struct reason *why) MUST_USE;

/* The authority says in its association that this member is not in the group. */
enum result membership_end_unknown(struct membership *membership, struct reason *why) MUST_USE;

/* The connection came up: subscribe and sync. */
enum result membership_online(struct membership *membership, struct reason *why) MUST_USE;
enum result membership_turn(struct membership *membership, uint64_t *next, struct reason *why) MUST_USE;

#endif
