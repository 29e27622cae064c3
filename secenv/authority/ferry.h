/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_FERRY_H
#define GROUPSEAL_SECENV_AUTHORITY_FERRY_H

#include "secenv.pb-c.h"
#include "secenv/authority/member.h"
#include "secenv/objects/object.h"

/*
 * Objects in and out through the owner: Received and its Answer, Send and its Answered.
 *
 * Whatever is wrong with an object, its sender learns one thing, a Refusal; why is in the log, the counters
 * and a Notice.
 */
#define FERRY_SENT_LIMIT 4096u

/*
 * The outbox's slots: "package GROUP" to a member, "change GROUP", "roster GROUP PAGE" and "order GROUP
 * COMMAND" to an MN-CSE, "left GROUP INSTANCE", "reauthenticate",
 * "revocation". This is one's kind, group and last word (""
 * where it has none).
 */
struct slot {
    char kind[16];
    char group[GROUP_NAME_LIMIT + 1];
    char last[2 * COMMAND_ID_SIZE + 1];
};

void slot_parse(const char *text, struct slot *out);

/* Whom a Send event went to, by its token; a ring: who is overwritten is sent to again by the back-off. */
struct ferry {
    uint64_t last_token;
    size_t under_way; /* of those that are in the ring */
    struct {
        uint64_t token;
        bool under_way; /* the owner has not said what became of it */
        char peer[129];
    } sent[FERRY_SENT_LIMIT];
};

enum result ferry_received(struct engine *engine, const Groupseal__Secenv__Received *request,
                           struct arena *arena, Groupseal__Secenv__Answer **out, struct reason *why) MUST_USE;
enum result ferry_answered(struct engine *engine, const Groupseal__Secenv__Answered *request,
                           struct arena *arena, struct reason *why) MUST_USE;
/* The owner's connections begin anew: what was on its way is lost. */
void ferry_lost(struct engine *engine);
/* A Send event with a packed object, under a token of its own. */
enum result ferry_send(struct engine *engine, const struct member *member, struct bytes packed) MUST_USE;
/* Sends what is due in the outbox, while online. Lowers `*next`. */
enum result ferry_turn(struct engine *engine, struct arena *arena, uint64_t *next,
                       struct reason *why) MUST_USE;

#endif
