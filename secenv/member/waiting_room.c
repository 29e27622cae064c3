/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/waiting_room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nobody fills the room alone. */
static bool sender_has_place(const struct waiting_room *room, const char *sender)
{
    size_t taken = 0;
    for (size_t i = 0; i < room->count; i++) {
        taken += strcmp(room->places[i]->sender, sender) == 0;
    }
    return sender[0] == '\0' || taken < WAITING_PLACES_OF_ONE;
}

enum result waiting_room_enter(struct waiting_room *room, const char *site, const char *sender,
                               struct bytes payload, uint64_t now_us, struct reason *why)
{
    if (room->count == WAITING_ROOM_PLACES) {
        return result_fail(why, RESULT_FULL, "%u messages wait for a newer epoch already",
                           WAITING_ROOM_PLACES);
    }
    if (!sender_has_place(room, sender)) {
        return result_fail(why, RESULT_FULL, "%u messages of %.128s wait for a newer epoch already",
                           WAITING_PLACES_OF_ONE, sender);
    }
    struct waiting_message *message = calloc(1, sizeof(*message));
    if (message == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a message that waits");
    }
    message->payload = BUFFER_EMPTY(OBJECT_LIMIT);
    message->entered_us = now_us;
    if (buffer_append(&message->payload, payload) != RESULT_OK) {
        waiting_message_free(message);
        return result_fail(why, RESULT_INTERNAL, "no memory for a message that waits");
    }
    (void)snprintf(message->site, sizeof(message->site), "%s", site);
    (void)snprintf(message->sender, sizeof(message->sender), "%s", sender);
    room->places[room->count++] = message;
    return RESULT_OK;
}

struct waiting_message *waiting_room_leave(struct waiting_room *room)
{
    if (room->count == 0) {
        return NULL;
    }
    struct waiting_message *oldest = room->places[0];
    room->count--;
    memmove(&room->places[0], &room->places[1], room->count * sizeof(struct waiting_message *));
    return oldest;
}

void waiting_message_free(struct waiting_message *message)
{
    if (message != NULL) {
        buffer_clear(&message->payload);
        free(message);
    }
}

size_t waiting_room_expire(struct waiting_room *room, uint64_t since_us)
{
    size_t before = room->count;
    while (room->count > 0 && room->places[0]->entered_us < since_us) {
        waiting_message_free(waiting_room_leave(room));
    }
    return before - room->count;
}

void waiting_room_clear(struct waiting_room *room)
{
    for (size_t i = 0; i < room->count; i++) {
        waiting_message_free(room->places[i]);
    }
    room->count = 0;
}
