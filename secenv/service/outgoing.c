/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/outgoing.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64u

struct outgoing_item {
    uint64_t connection;
    bool early;
    struct packet *packet;
};

static enum result outgoing_grow(struct outgoing *outgoing)
{
    if (outgoing->count < outgoing->capacity) {
        return RESULT_OK;
    }
    size_t capacity = outgoing->capacity == 0 ? FIRST_CAPACITY : outgoing->capacity * 2;
    struct outgoing_item *items = realloc(outgoing->items, capacity * sizeof(*items));
    if (items == NULL) {
        return RESULT_FULL;
    }
    outgoing->items = items;
    outgoing->capacity = capacity;
    return RESULT_OK;
}

enum result outgoing_insert(struct outgoing *outgoing, size_t mark, uint64_t connection,
                            const Groupseal__Secenv__FromSecenv *message)
{
    size_t length = groupseal__secenv__from_secenv__get_packed_size(message);
    if (length > PACKET_LIMIT) {
        return RESULT_INVALID;
    }
    if (length > OUTGOING_LIMIT - outgoing->bytes) {
        return RESULT_FULL;
    }
    GUARD(outgoing_grow(outgoing));
    struct packet *packet = packet_new(message);
    if (packet == NULL) {
        return RESULT_FULL;
    }
    struct outgoing_item *place = &outgoing->items[mark];
    memmove(place + 1, place, (outgoing->count - mark) * sizeof(*place));
    *place = (struct outgoing_item){connection, false, packet};
    outgoing->count++;
    outgoing->bytes += packet->length;
    return RESULT_OK;
}

enum result outgoing_add(struct outgoing *outgoing, uint64_t connection,
                         const Groupseal__Secenv__FromSecenv *message)
{
    return outgoing_insert(outgoing, outgoing->count, connection, message);
}

enum result outgoing_add_early(struct outgoing *outgoing, uint64_t connection,
                               const Groupseal__Secenv__FromSecenv *message)
{
    GUARD(outgoing_add(outgoing, connection, message));
    outgoing->items[outgoing->count - 1].early = true;
    return RESULT_OK;
}

size_t outgoing_mark(const struct outgoing *outgoing)
{
    return outgoing->count;
}

void outgoing_drop(struct outgoing *outgoing, size_t mark)
{
    while (outgoing->count > mark) {
        struct packet *packet = outgoing->items[--outgoing->count].packet;
        outgoing->bytes -= packet->length;
        packet_free(packet);
    }
}

struct packet *outgoing_take_early(struct outgoing *outgoing, uint64_t *connection)
{
    if (outgoing->count == 0 || !outgoing->items[0].early) {
        return NULL;
    }
    struct outgoing_item item = outgoing->items[0];
    outgoing->count--;
    memmove(&outgoing->items[0], &outgoing->items[1], outgoing->count * sizeof(item));
    outgoing->bytes -= item.packet->length;
    *connection = item.connection;
    return item.packet;
}

struct packet *outgoing_take(struct outgoing *outgoing, uint64_t *connection)
{
    if (outgoing->first == outgoing->count) {
        outgoing->first = 0;
        outgoing->count = 0;
        outgoing->bytes = 0;
        return NULL;
    }
    struct outgoing_item *item = &outgoing->items[outgoing->first++];
    *connection = item->connection;
    return item->packet;
}

void outgoing_clear(struct outgoing *outgoing)
{
    outgoing_drop(outgoing, 0);
    free(outgoing->items);
    *outgoing = (struct outgoing){NULL, 0, 0, 0, 0};
}
