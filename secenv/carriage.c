/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/association.h"

#include "secenv/crypto/aead.h"

enum result carriage_pack(const Groupseal__Envelope__EndToEnd *object, struct arena *arena, struct bytes *out)
{
    size_t size = groupseal__envelope__end_to_end__get_packed_size(object);
    if (size > OBJECT_LIMIT) {
        return RESULT_FULL;
    }
    uint8_t *packed = arena_alloc(arena, size);
    if (packed == NULL) {
        return RESULT_INTERNAL;
    }
    *out = (struct bytes){packed, groupseal__envelope__end_to_end__pack(object, packed)};
    return RESULT_OK;
}

static bool record_fits(const Groupseal__Envelope__Record *record)
{
    return record->association.len == ASSOCIATION_ID_SIZE && record->boot.len == BOOT_SIZE &&
           record->ciphertext.len >= AEAD_TAG_SIZE &&
           record->type > GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_NONE &&
           record->type <= GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_HOLDINGS;
}

/* Which parts a flight has, by its number (docs/protocol.md section 4). */
static bool flight_fits(const Groupseal__Envelope__Flight *flight)
{
    bool first = flight->number == 1;
    bool has_tls = flight->number >= 1 && flight->number <= 3;
    bool has_record = flight->number == 3 || flight->number == 4;
    return flight->number >= 1 && flight->number <= 4 && flight->hello_hash.len == (first ? 0 : HASH_SIZE) &&
           (flight->tls.len != 0) == has_tls && (flight->record != NULL) == has_record &&
           (flight->record == NULL || record_fits(flight->record));
}

enum result carriage_parse(struct bytes object, struct arena *arena, Groupseal__Envelope__EndToEnd **out,
                           struct reason *why)
{
    if (object.length > OBJECT_LIMIT) {
        return result_fail(why, RESULT_INVALID, "end-to-end object has %zu bytes, at most %u are taken",
                           object.length, OBJECT_LIMIT);
    }
    Groupseal__Envelope__EndToEnd *parsed =
        object_unpack(&groupseal__envelope__end_to_end__descriptor, object, arena);
    if (parsed == NULL) {
        return result_fail(why, RESULT_INVALID, "end-to-end object cannot be parsed");
    }
    switch (parsed->content_case) {
    case GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT:
        if (!flight_fits(parsed->flight)) {
            return result_fail(why, RESULT_INVALID, "flight %u has not the parts that it must have",
                               parsed->flight->number);
        }
        break;
    case GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD:
        if (!record_fits(parsed->record)) {
            return result_fail(why, RESULT_INVALID,
                               "record has fields of the wrong size, or an unknown type");
        }
        break;
    case GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL:
        break;
    default:
        return result_fail(why, RESULT_INVALID, "end-to-end object is neither flight nor record nor refusal");
    }
    *out = parsed;
    return RESULT_OK;
}
