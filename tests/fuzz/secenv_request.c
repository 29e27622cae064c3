/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>

#include "secenv/service/dispatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A client's packet: the parser, then the table in every state. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const enum socket_kind sockets[] = {SOCKET_OWNER, SOCKET_OPERATOR, SOCKET_AUDIT};
    struct arena *arena = arena_new(4u * 1024u * 1024u);
    Groupseal__Secenv__ToSecenv *request = NULL;
    if (arena == NULL) {
        abort();
    }
    if (dispatch_parse((struct bytes){data, size}, arena, &request, NULL) == RESULT_OK) {
        for (unsigned i = 0; i < 12; i++) {
            struct dispatch_state state = {sockets[i % 3], i % 2 == 0, 7};
            enum store_profile profile = i < 6 ? STORE_AUTHORITY : STORE_MEMBER;
            struct reason why = {""};
            if (dispatch_check(&state, profile, request, &why) == RESULT_OK && request->id <= 7) {
                abort();
            }
        }
    }
    arena_free(arena);
    return 0;
}
