/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/calls.h"

#include <stdlib.h>

struct call *call_new(uint64_t tag, const Groupseal__Secenv__ToSecenv *request)
{
    size_t size = groupseal__secenv__to_secenv__get_packed_size(request);
    struct call *call = NULL;
    uint8_t *packed = size > SECENV_PACKET_LIMIT ? NULL : malloc(size + 1);
    if (packed == NULL) {
        return NULL;
    }
    groupseal__secenv__to_secenv__pack(request, packed);
    call = calloc(1, sizeof(*call));
    if (call != NULL) {
        call->tag = tag;
        call->size = size;
        call->request = groupseal__secenv__to_secenv__unpack(NULL, size, packed);
        if (call->request == NULL) {
            free(call);
            call = NULL;
        }
    }
    free(packed);
    return call;
}

void call_free(struct call *call)
{
    if (call == NULL) {
        return;
    }
    if (call->request != NULL) {
        groupseal__secenv__to_secenv__free_unpacked(call->request, NULL);
    }
    free(call);
}

void calls_init(struct calls *calls)
{
    *calls = (struct calls){.first = NULL, .last = NULL};
    calls->last = &calls->first;
}

void calls_push(struct calls *calls, struct call *call)
{
    call->next = NULL;
    *calls->last = call;
    calls->last = &call->next;
    calls->count++;
    calls->bytes += call->size;
}

struct call *calls_pop(struct calls *calls)
{
    struct call *call = calls->first;
    if (call == NULL) {
        return NULL;
    }
    calls->first = call->next;
    if (calls->first == NULL) {
        calls->last = &calls->first;
    }
    calls->count--;
    calls->bytes -= call->size;
    return call;
}

void calls_put_back(struct calls *calls, struct call *call)
{
    call->next = calls->first;
    if (calls->first == NULL) {
        calls->last = &call->next;
    }
    calls->first = call;
    calls->count++;
    calls->bytes += call->size;
}

void calls_clear(struct calls *calls)
{
    struct call *call;
    while ((call = calls_pop(calls)) != NULL) {
        call_free(call);
    }
}
