/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The header of a group message, and opening what it says. */
#include "secenv/objects/object.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena *arena;
    static const struct secret epoch_key = {{3}};
    if (arena == NULL) {
        arena = arena_new(1u << 20);
    }
    ALWAYS(arena != NULL);
    Groupseal__Envelope__Sealed *sealed = NULL;
    struct reason why;
    if (seal_parse((struct bytes){data, size}, arena, &sealed, &why) == RESULT_OK) {
        bool relays = sealed->kind < GROUPSEAL__ENVELOPE__KIND__KIND_MESSAGE;
        struct seal_context context = {.incarnation = 1,
                                       .site = "mn-1",
                                       .kind = sealed->kind,
                                       .ae = relays ? "" : "//sp.example/Sdoor1",
                                       .epoch = sealed->epoch,
                                       .serial = sealed->serial,
                                       .counter = sealed->counter};
        memcpy(context.boot, sealed->boot.data, sizeof(context.boot));
        struct buffer plaintext = BUFFER_EMPTY(OBJECT_LIMIT);
        enum result result = seal_open(&context, AEAD_CHACHA20_POLY1305_CIPHER, &epoch_key,
                                       arena_view(sealed->ciphertext), &plaintext);
        ALWAYS(result == RESULT_REFUSED || result == RESULT_OK); /* the header was checked */
        buffer_clear(&plaintext);
    }
    arena_reset(arena);
    return 0;
}
