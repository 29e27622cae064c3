/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/association.h"
#include "tests/fuzz/fuzz.h"

/* What comes in m2m:seci, and the bodies of records once they are opened. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena *arena;
    if (arena == NULL) {
        arena = arena_new(1024 * 1024);
        ALWAYS(arena != NULL);
    }
    struct reason why = {""};
    struct bytes bytes = {data, size};
    Groupseal__Envelope__EndToEnd *object = NULL;
    if (carriage_parse(bytes, arena, &object, &why) == RESULT_OK) {
        struct bytes packed = {NULL, 0};
        ALWAYS(size <= OBJECT_LIMIT &&
               object->content_case != GROUPSEAL__ENVELOPE__END_TO_END__CONTENT__NOT_SET);
        (void)!carriage_pack(object, arena, &packed);
    }
    (void)groupseal__envelope__record_body__unpack(arena_allocator(arena), size, data);
    arena_reset(arena);
    return 0;
}
