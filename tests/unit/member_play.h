/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_MEMBER_PLAY_H
#define GROUPSEAL_TESTS_UNIT_MEMBER_PLAY_H

#include "secenv/audit.h"
#include "secenv/member/membership.h"
#include "secenv/member/relay.h"
#include "tests/unit/site.h"

/*
 * A site with real engines, for tests of the member's: an MN-CSE, devices, one group. What the broker carries
 * is captured; commands can be sealed again by hand, with the MN-CSE's own keys, so that a forgery differs
 * from what is taken in one thing alone.
 */
#define PLAY_GROUP "doors"
#define PLAY_DOOR "//sp.example/Sdoor1"
#define PLAY_DOOR_2 "//sp.example/Sdoor2"
#define PLAY_SITE "mn-1"

struct play {
    struct site *site;
    struct site_node *mn;
    struct site_node *door;
    struct site_node *door2; /* NULL where there is one only */
    Groupseal__Secenv__Publish *captured[256];
    size_t captured_count;
    const char *dropped_to;                    /* publishes to this node are lost; NULL: none */
    Groupseal__Secenv__TopicKind dropped_kind; /* of this kind only; TOPIC_NONE: all */
};

/* MN-CSE, one or two doors and their group; everybody has climbed and is synchronised. */
struct play *play_new(size_t doors);
/* The same, in a group whose MN-CSE may command. */
struct play *play_new_commanding(size_t doors);
void play_free(struct play *play);

struct membership *play_membership(struct site_node *node, const char *group);

/* The operator's order; settles. `target` NULL: everyone. */
void play_order(struct play *play, const char *body, const char *target, uint32_t valid_ms,
                uint8_t id[COMMAND_ID_SIZE]);
/* The application says so. */
Groupseal__Secenv__Code play_finish(struct site_node *node, const uint8_t id[COMMAND_ID_SIZE], bool done,
                                    const char *detail);
/* The MN-CSE's own command to PLAY_GROUP, and a page of what it says of one. The replies are the caller's
 * (site_reply_free). */
Groupseal__Secenv__Reply *play_own_command(struct site_node *mn, const char *body, uint32_t valid_ms);
Groupseal__Secenv__Reply *play_own_shown(struct site_node *mn, const uint8_t id[COMMAND_ID_SIZE],
                                         uint32_t page);
/* A member's row; NULL: none. */
const Groupseal__Secenv__OrderRow *play_row(const Groupseal__Secenv__OrderReport *report, const char *name);
/* What the authority knows of a member's answer to an order. */
Groupseal__Secenv__Outcome play_outcome(struct play *play, const uint8_t id[COMMAND_ID_SIZE],
                                        const char *name, bool *complete);
/* Commands that a node's application was given since the last clear. */
size_t play_commands(const struct site_node *node);

/* The newest captured publish of a kind (of one sender), a copy that the play keeps; fails where there is
 * none. */
const Groupseal__Secenv__Publish *play_last(struct play *play, Groupseal__Secenv__TopicKind kind);
const Groupseal__Secenv__Publish *play_last_of(struct play *play, Groupseal__Secenv__TopicKind kind,
                                               const char *sender);
void play_forget(struct play *play);

/* ---- sealing by hand ---- */

/* What goes into a command; play_forgery fills it so that it is taken. */
struct forgery {
    struct seal_context context;
    Groupseal__Envelope__OrderRequest *request; /* of the play's order */
    uint64_t seal_expires_ms;
    struct signing_key relay;
    struct secret epoch_key;
    enum aead aead;
    bool relay_commands;              /* the seal signature is for the order too */
    bool order_altered_after_sealing; /* the seal signature is over what the order was */
    struct bytes wanted;              /* whom it is sealed for; empty: all */
    bool wanted_added_after_sealing;  /* the seal signature is that of one for all */
};

/* Of an order that the MN-CSE has: with a fresh counter. `arena` holds it. */
void play_forgery(struct play *play, const uint8_t id[COMMAND_ID_SIZE], struct arena *arena,
                  struct forgery *out);
/* Seals it; the payload is the caller's. */
struct buffer play_forge(const struct forgery *forgery);
/* Hears a payload on a topic of the site. */
Groupseal__Secenv__Code play_hear(struct site_node *node, Groupseal__Secenv__TopicKind kind,
                                  const char *sender, struct bytes payload, bool retained);

#endif
