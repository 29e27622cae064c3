/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/agenda.h"

#include <stdlib.h>

#include "secenv/member/identity_state.h"

static void place_set(struct agenda *agenda, size_t place, struct identity_state *identity)
{
    agenda->heap[place] = identity;
    identity->agenda_place = place;
}

static void settle(struct agenda *agenda, struct identity_state *identity)
{
    size_t place = identity->agenda_place;
    while (place > 0 && agenda->heap[(place - 1) / 2]->due_us > identity->due_us) {
        place_set(agenda, place, agenda->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < agenda->count && agenda->heap[child + 1]->due_us < agenda->heap[child]->due_us) {
            child++;
        }
        if (child >= agenda->count || agenda->heap[child]->due_us >= identity->due_us) {
            break;
        }
        place_set(agenda, place, agenda->heap[child]);
        place = child;
    }
    place_set(agenda, place, identity);
}

enum result agenda_open(struct agenda *agenda, struct identity_state *const *identities, size_t count)
{
    agenda->heap = calloc(count + 1, sizeof(struct identity_state *));
    agenda->taken = calloc(count + 1, sizeof(struct identity_state *));
    if (agenda->heap == NULL || agenda->taken == NULL) {
        return RESULT_INTERNAL;
    }
    for (size_t i = 0; i < count; i++) {
        agenda_put(agenda, identities[i]);
    }
    return RESULT_OK;
}

void agenda_close(struct agenda *agenda)
{
    free(agenda->heap);
    free(agenda->taken);
    *agenda = (struct agenda){.heap = NULL};
}

void agenda_move(struct agenda *agenda, struct identity_state *identity, uint64_t due_us)
{
    identity->due_us = due_us;
    if (identity->agenda_place != AGENDA_OUT) {
        settle(agenda, identity);
    }
}

static struct identity_state *first_take(struct agenda *agenda)
{
    struct identity_state *first = agenda->heap[0];
    struct identity_state *last = agenda->heap[--agenda->count];
    if (last != first) {
        place_set(agenda, 0, last);
        settle(agenda, last);
    }
    first->agenda_place = AGENDA_OUT;
    return first;
}

size_t agenda_take(struct agenda *agenda, uint64_t now_us)
{
    size_t count = 0;
    while (agenda_next(agenda) <= now_us) {
        agenda->taken[count++] = first_take(agenda);
    }
    return count;
}

void agenda_put(struct agenda *agenda, struct identity_state *identity)
{
    place_set(agenda, agenda->count++, identity);
    settle(agenda, identity);
}

uint64_t agenda_next(const struct agenda *agenda)
{
    return agenda->count == 0 ? UINT64_MAX : agenda->heap[0]->due_us;
}
