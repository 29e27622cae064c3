/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/dispatch_target.h"

#include <stdlib.h>
#include <string.h>

bool outcome_is_final(Groupseal__Envelope__Outcome outcome)
{
    return outcome != GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_NONE &&
           outcome != GROUPSEAL__ENVELOPE__OUTCOME__OUTCOME_ACCEPTED;
}

void dispatch_targets_clear(struct dispatch_targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        free(targets->items[i].name);
        free(targets->items[i].detail);
    }
    free(targets->items);
    *targets = (struct dispatch_targets){.items = NULL};
}

/* The first place whose name is not below this one. */
static size_t place_for(const struct dispatch_targets *targets, const char *name)
{
    size_t low = 0;
    size_t high = targets->count;
    if (high > 0 && strcmp(targets->items[high - 1].name, name) < 0) {
        return high; /* they come in order, mostly */
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(targets->items[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct dispatch_target *dispatch_target_find(const struct dispatch_targets *targets, const char *name)
{
    size_t place = place_for(targets, name);
    bool found = place < targets->count && strcmp(targets->items[place].name, name) == 0;
    return found ? &targets->items[place] : NULL;
}

static enum result room_make(struct dispatch_targets *targets)
{
    if (targets->count < targets->capacity) {
        return RESULT_OK;
    }
    size_t capacity = targets->capacity == 0 ? 16 : 2 * targets->capacity;
    struct dispatch_target *items = realloc(targets->items, capacity * sizeof(*items));
    if (items == NULL) {
        return RESULT_INTERNAL;
    }
    targets->items = items;
    targets->capacity = capacity;
    return RESULT_OK;
}

/* Those behind it move, and with them the pages of the report. */
enum result dispatch_target_add(struct dispatch_targets *targets, const char *name,
                                struct dispatch_target **out)
{
    char *copy = strdup(name);
    if (copy == NULL || room_make(targets) != RESULT_OK) {
        free(copy);
        return RESULT_INTERNAL;
    }
    size_t place = place_for(targets, name);
    struct dispatch_target *target = &targets->items[place];
    memmove(target + 1, target, (targets->count - place) * sizeof(*target));
    *target = (struct dispatch_target){.name = copy};
    targets->count++;
    targets->open++;
    for (size_t i = place; i < targets->count; i++) {
        targets->items[i].told = false;
    }
    *out = target;
    return RESULT_OK;
}

enum result dispatch_target_answer(struct dispatch_targets *targets, struct dispatch_target *target,
                                   const struct dispatch_target *answer)
{
    bool said = answer->detail != NULL && answer->detail[0] != '\0';
    char *detail = said ? strdup(answer->detail) : NULL;
    if (said && detail == NULL) {
        return RESULT_INTERNAL;
    }
    targets->open -= outcome_is_final(target->outcome) ? 0 : 1;
    targets->open += outcome_is_final(answer->outcome) ? 0 : 1;
    free(target->detail);
    target->detail = detail;
    target->outcome = answer->outcome;
    target->late = answer->late;
    target->told = false;
    return RESULT_OK;
}

void dispatch_targets_untold(struct dispatch_targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        targets->items[i].told = false;
    }
}
