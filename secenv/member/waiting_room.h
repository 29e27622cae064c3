/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_WAITING_ROOM_H
#define GROUPSEAL_SECENV_MEMBER_WAITING_ROOM_H

#include "secenv/objects/object.h"

/*
 * Sealed messages of an epoch that is not here yet, or that came before the policy: they wait, bounded, in
 * the order in which they came, for the climb. Not authenticated yet; in memory only.
 */
#define WAITING_ROOM_PLACES 16u
#define WAITING_PLACES_OF_ONE 2u /* of one AE-ID; the relay's own, without a sender, may have all */

struct waiting_message {
    char site[SITE_LIMIT + 1];
    char sender[NAME_LIMIT + 1];
    struct buffer payload;
    uint64_t entered_us; /* monotonic */
};

struct waiting_room {
    struct waiting_message *places[WAITING_ROOM_PLACES];
    size_t count;
};

/* RESULT_FULL where there is no place, for this sender. Copies. */
enum result waiting_room_enter(struct waiting_room *room, const char *site, const char *sender,
                               struct bytes payload, uint64_t now_us, struct reason *why) MUST_USE;
/* Takes the oldest out; NULL where nobody waits. */
struct waiting_message *waiting_room_leave(struct waiting_room *room) MUST_USE;
void waiting_message_free(struct waiting_message *message);
/* Those that entered before `since_us` are dropped: how many. */
size_t waiting_room_expire(struct waiting_room *room, uint64_t since_us);
void waiting_room_clear(struct waiting_room *room);

#endif
