/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "secenv/association.h"
#include "secenv/crypto/aead.h"
#include "tests/unit/store_place.h"

#define DOOR "//sp.example/Sdoor1"
#define AUTHORITY "//sp.example/in-cse"

static const char *const schemas[] = {counter_schema, association_schema};

/* Both ends of one association, each with a store of its own. */
struct pair {
    struct place *door;
    struct place *in_cse;
    struct association member;
    struct association authority;
    struct arena *arena;
};

static struct agreement some_agreement(uint8_t filler)
{
    struct agreement agreement;
    memset(&agreement, 0, sizeof(agreement));
    memset(agreement.id, filler, sizeof(agreement.id));
    memset(agreement.key.data, filler + 1, SECRET_SIZE);
    agreement.mode = CREDENTIALS_PSK;
    (void)snprintf(agreement.mechanism, sizeof(agreement.mechanism), "%s", MECHANISM_WRAP);
    return agreement;
}

static void pair_init(struct pair *pair, uint8_t filler)
{
    struct agreement agreement = some_agreement(filler);
    association_init(&pair->member, ASSOCIATION_MEMBER, ASSOCIATION_CURRENT, DOOR, AUTHORITY, &agreement, 5);
    association_init(&pair->authority, ASSOCIATION_AUTHORITY, ASSOCIATION_CURRENT, DOOR, AUTHORITY,
                     &agreement, 6);
}

static int setup(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    pair->door = place_new(schemas, 2);
    pair->in_cse = place_new(schemas, 2);
    pair->arena = arena_new(1024 * 1024);
    pair_init(pair, 1);
    struct reason why = {""};
    assert_int_equal(association_save(&pair->member, pair->door->store, &why), RESULT_OK);
    assert_int_equal(association_save(&pair->authority, pair->in_cse->store, &why), RESULT_OK);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    arena_free(pair->arena);
    place_free(pair->door);
    place_free(pair->in_cse);
    free(pair);
    return 0;
}

static Groupseal__Envelope__Record *seal(struct pair *pair, bool by_member,
                                         const Groupseal__Envelope__RecordBody *body)
{
    struct reason why = {""};
    Groupseal__Envelope__Record *record = NULL;
    struct place *place = by_member ? pair->door : pair->in_cse;
    if (association_seal(by_member ? &pair->member : &pair->authority, place->store, &place->clock, body,
                         pair->arena, &record, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    return record;
}

/* The member asks for a package of the group. */
static Groupseal__Envelope__Record *seal_ask(struct pair *pair, const char *group)
{
    Groupseal__Envelope__PackageAsk ask = GROUPSEAL__ENVELOPE__PACKAGE_ASK__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    char text[65];
    (void)snprintf(text, sizeof(text), "%s", group);
    ask.group = text;
    body.item = 9;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_PACKAGE_ASK;
    body.package_ask = &ask;
    return seal(pair, true, &body);
}

static Groupseal__Envelope__Record *seal_accept(struct pair *pair, bool by_member)
{
    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    accept.item = 3;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    body.accept = &accept;
    return seal(pair, by_member, &body);
}

static enum result open_at(struct association *association, struct place *place,
                           const Groupseal__Envelope__Record *record, struct arena *arena,
                           Groupseal__Envelope__RecordBody **body)
{
    struct reason why = {""};
    enum result result = association_open(association, place->store, record, arena, body, &why);
    assert_true((result == RESULT_OK) == (why.text[0] == '\0'));
    return result;
}

static enum result open_by_authority(struct pair *pair, const Groupseal__Envelope__Record *record)
{
    Groupseal__Envelope__RecordBody *body = NULL;
    return open_at(&pair->authority, pair->in_cse, record, pair->arena, &body);
}

static enum result open_by_member(struct pair *pair, const Groupseal__Envelope__Record *record)
{
    Groupseal__Envelope__RecordBody *body = NULL;
    return open_at(&pair->member, pair->door, record, pair->arena, &body);
}

static void records_arrive(void **state)
{
    struct pair *pair = *state;
    Groupseal__Envelope__RecordBody *body = NULL;
    Groupseal__Envelope__Record *record = seal_ask(pair, "doors");
    assert_int_equal(record->type, GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_PACKAGE_ASK);
    assert_int_equal(open_at(&pair->authority, pair->in_cse, record, pair->arena, &body), RESULT_OK);
    assert_int_equal(body->item, 9);
    assert_string_equal(body->package_ask->group, "doors");
    assert_int_equal(open_by_member(pair, seal_accept(pair, false)), RESULT_OK);
    assert_int_equal(open_by_authority(pair, seal_accept(pair, true)), RESULT_OK);
}

static void replays_and_late_records_are_refused(void **state)
{
    struct pair *pair = *state;
    Groupseal__Envelope__Record *first = seal_ask(pair, "a");
    Groupseal__Envelope__Record *second = seal_ask(pair, "b");
    Groupseal__Envelope__Record *third = seal_ask(pair, "c");
    assert_int_equal(open_by_authority(pair, second), RESULT_OK);
    assert_int_equal(open_by_authority(pair, second), RESULT_REFUSED);
    assert_int_equal(open_by_authority(pair, first), RESULT_REFUSED);
    assert_int_equal(open_by_authority(pair, third), RESULT_OK);
}

static void wrong_direction_is_refused(void **state)
{
    struct pair *pair = *state;
    Groupseal__Envelope__Record *by_member = seal_accept(pair, true);
    Groupseal__Envelope__Record *by_authority = seal_accept(pair, false);
    assert_int_equal(open_by_member(pair, by_member), RESULT_REFUSED); /* reflected */
    assert_int_equal(open_by_authority(pair, by_authority), RESULT_REFUSED);
    assert_int_equal(open_by_authority(pair, by_member), RESULT_OK);
    assert_int_equal(open_by_member(pair, by_authority), RESULT_OK);

    /* What only the authority may say cannot be sealed by the member. */
    struct reason why = {""};
    Groupseal__Envelope__Confirm confirm = GROUPSEAL__ENVELOPE__CONFIRM__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Record *record = NULL;
    assert_int_equal(association_seal(&pair->member, pair->door->store, &pair->door->clock, &body,
                                      pair->arena, &record, &why),
                     RESULT_INVALID); /* no content */
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_CONFIRM;
    body.confirm = &confirm;
    assert_int_equal(association_seal(&pair->member, pair->door->store, &pair->door->clock, &body,
                                      pair->arena, &record, &why),
                     RESULT_INVALID);
    assert_int_equal(open_by_member(pair, seal(pair, false, &body)), RESULT_OK);
}

/* Seals a packed body under the association's keys, with a type that does not fit it: only a peer that
 * holds the keys can, and is refused too. */
static Groupseal__Envelope__Record *seal_as_type(struct pair *pair, Groupseal__Envelope__RecordType type,
                                                 struct bytes packed)
{
    Groupseal__Envelope__Record *record = seal_accept(pair, true);
    struct fields list;
    struct secret key;
    struct buffer sealed = BUFFER_EMPTY(4096);
    fields_init(&list);
    fields_label(&list, "record");
    fields_u8(&list, 1);
    fields_text(&list, DOOR);
    fields_text(&list, AUTHORITY);
    fields_u8(&list, CREDENTIALS_PSK);
    fields_text(&list, MECHANISM_WRAP);
    fields_fix(&list, arena_view(record->boot), BOOT_SIZE);
    assert_int_equal(kdf_fields(&pair->member.agreement.key, &list, &key), RESULT_OK);
    fields_clear(&list);
    fields_init(&list);
    fields_text(&list, DOOR);
    fields_text(&list, AUTHORITY);
    fields_u8(&list, (uint8_t)type);
    fields_fix(&list, arena_view(record->association), ASSOCIATION_ID_SIZE);
    fields_fix(&list, arena_view(record->boot), BOOT_SIZE);
    fields_u64(&list, record->counter);
    assert_int_equal(
        aead_seal(AEAD_CHACHA20_POLY1305_CIPHER, &key, record->counter, fields_bytes(&list), packed, &sealed),
        RESULT_OK);
    fields_clear(&list);
    record->type = type;
    record->ciphertext.data = arena_copy(pair->arena, buffer_bytes(&sealed));
    record->ciphertext.len = sealed.length;
    buffer_clear(&sealed);
    return record;
}

static void type_and_content_agree(void **state)
{
    struct pair *pair = *state;
    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    uint8_t packed[64];
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    body.accept = &accept;
    size_t length = groupseal__envelope__record_body__pack(&body, packed);
    struct bytes whole = {packed, length};
    Groupseal__Envelope__RecordType right = GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ACCEPT;
    Groupseal__Envelope__RecordType wrong = GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_REPORT;
    uint64_t before = pair->authority.received;
    assert_int_equal(open_by_authority(pair, seal_as_type(pair, wrong, whole)), RESULT_REFUSED);
    assert_int_equal(
        open_by_authority(pair, seal_as_type(pair, right, (struct bytes){(const uint8_t *)"\xff\xff", 2})),
        RESULT_INVALID);
    assert_int_equal(open_by_authority(pair, seal_as_type(pair, right, (struct bytes){NULL, 0})),
                     RESULT_REFUSED);
    assert_int_equal(pair->authority.received, before);
    assert_int_equal(open_by_authority(pair, seal_as_type(pair, right, whole)), RESULT_OK);

    /* The type is in the AAD: to change it on the way is to break the seal. */
    Groupseal__Envelope__Record *record = seal_accept(pair, true);
    record->type = wrong;
    assert_int_equal(open_by_authority(pair, record), RESULT_REFUSED);
    record->type = right;
    assert_int_equal(open_by_authority(pair, record), RESULT_OK);
}

static void altered_records_are_refused(void **state)
{
    struct pair *pair = *state;
    Groupseal__Envelope__Record *record = seal_ask(pair, "doors");
    for (size_t i = 0; i < record->ciphertext.len; i++) {
        record->ciphertext.data[i] ^= 1;
        assert_int_equal(open_by_authority(pair, record), RESULT_REFUSED);
        record->ciphertext.data[i] ^= 1;
    }
    record->boot.data[0] ^= 1;
    assert_int_equal(open_by_authority(pair, record), RESULT_REFUSED);
    record->boot.data[0] ^= 1;
    record->association.data[0] ^= 1;
    assert_int_equal(open_by_authority(pair, record), RESULT_UNKNOWN);
    record->association.data[0] ^= 1;
    record->counter++;
    assert_int_equal(open_by_authority(pair, record), RESULT_REFUSED);
    record->counter--;
    record->ciphertext.len--;
    assert_int_equal(open_by_authority(pair, record), RESULT_REFUSED);
    record->ciphertext.len++;
    record->boot.len--;
    assert_int_equal(open_by_authority(pair, record), RESULT_INVALID);
    record->boot.len++;
    assert_int_equal(open_by_authority(pair, record), RESULT_OK);
}

/* The names of both ends are in key and AAD. */
static void names_are_bound(void **state)
{
    struct pair *pair = *state;
    Groupseal__Envelope__Record *record = seal_ask(pair, "doors");
    Groupseal__Envelope__RecordBody *body = NULL;
    struct association other = pair->authority;
    (void)snprintf(other.member, sizeof(other.member), "//sp.example/Sdoor2");
    assert_int_equal(open_at(&other, pair->in_cse, record, pair->arena, &body), RESULT_REFUSED);
    other = pair->authority;
    (void)snprintf(other.authority, sizeof(other.authority), "//sp.example/in-cse2");
    assert_int_equal(open_at(&other, pair->in_cse, record, pair->arena, &body), RESULT_REFUSED);
    other = pair->authority;
    other.agreement.mode = CREDENTIALS_CERT;
    assert_int_equal(open_at(&other, pair->in_cse, record, pair->arena, &body), RESULT_REFUSED);
    assert_int_equal(open_by_authority(pair, record), RESULT_OK);
}

static enum result take_one(void *context, const struct association *association)
{
    *(struct association *)context = *association;
    return RESULT_OK;
}

static void reload(struct place *place, enum association_role role, struct association *out)
{
    struct reason why = {""};
    place_reopen(place);
    memset(out, 0, sizeof(*out));
    assert_int_equal(association_load(place->store, role, take_one, out, &why), RESULT_OK);
}

static void restart_keeps_keys_and_never_a_nonce(void **state)
{
    struct pair *pair = *state;
    Groupseal__Envelope__Record *before = seal_ask(pair, "a");
    assert_int_equal(open_by_authority(pair, before), RESULT_OK);
    Groupseal__Envelope__Record *held = seal_ask(pair, "b");
    reload(pair->door, ASSOCIATION_MEMBER, &pair->member);
    reload(pair->in_cse, ASSOCIATION_AUTHORITY, &pair->authority);
    assert_string_equal(pair->member.member, DOOR);
    assert_string_equal(pair->member.authority, AUTHORITY);
    assert_int_equal(pair->member.made_ms, 5);
    assert_int_equal(pair->authority.received, before->counter);
    assert_int_equal(open_by_authority(pair, before), RESULT_REFUSED);

    /* The clock went back: the counter does not. */
    pair->door->now_us -= 3600u * 1000000u;
    Groupseal__Envelope__Record *after = seal_ask(pair, "c");
    assert_true(after->counter > held->counter);
    assert_memory_not_equal(after->boot.data, held->boot.data, BOOT_SIZE);
    assert_int_equal(open_by_authority(pair, held), RESULT_OK);
    assert_int_equal(open_by_authority(pair, after), RESULT_OK);
    assert_int_equal(open_by_authority(pair, held), RESULT_REFUSED);
}

static void undo_gives_the_record_back(void **state)
{
    struct pair *pair = *state;
    struct reason why = {""};
    Groupseal__Envelope__Record *record = seal_ask(pair, "doors");
    uint64_t before = pair->authority.received;
    assert_int_equal(store_begin(pair->in_cse->store, &why), RESULT_OK);
    assert_int_equal(store_savepoint(pair->in_cse->store, &why), RESULT_OK);
    assert_int_equal(open_by_authority(pair, record), RESULT_OK);
    store_rollback_to_savepoint(pair->in_cse->store);
    association_undo_received(&pair->authority, before);
    assert_int_equal(store_commit(pair->in_cse->store, &why), RESULT_OK);
    assert_int_equal(open_by_authority(pair, record), RESULT_OK);
    reload(pair->in_cse, ASSOCIATION_AUTHORITY, &pair->authority);
    assert_int_equal(open_by_authority(pair, record), RESULT_REFUSED);
}

static enum result count_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(int64_t *)context = row_int(row, 0);
    return RESULT_OK;
}

static int64_t count_of(struct place *place, bool counters)
{
    struct reason why = {""};
    int64_t count = -1;
    enum result result =
        counters ? store_query(place->store, &why, count_row, &count, "SELECT COUNT(*) FROM counter", "")
                 : store_query(place->store, &why, count_row, &count, "SELECT COUNT(*) FROM association", "");
    assert_int_equal(result, RESULT_OK);
    return count;
}

static void slots_replace_and_move(void **state)
{
    struct pair *pair = *state;
    struct reason why = {""};
    (void)seal_accept(pair, false); /* makes its counter's row */
    struct association pending;
    struct agreement agreement = some_agreement(7);
    association_init(&pending, ASSOCIATION_AUTHORITY, ASSOCIATION_PENDING, DOOR, AUTHORITY, &agreement, 8);
    assert_int_equal(association_save(&pending, pair->in_cse->store, &why), RESULT_OK);
    assert_int_equal(count_of(pair->in_cse, false), 2);
    /* It was used for the first time: it takes the place of the old one, whose counter goes too. */
    pending.slot = ASSOCIATION_CURRENT;
    assert_int_equal(association_save(&pending, pair->in_cse->store, &why), RESULT_OK);
    assert_int_equal(count_of(pair->in_cse, false), 1);
    assert_int_equal(count_of(pair->in_cse, true), 0);
    struct association loaded;
    reload(pair->in_cse, ASSOCIATION_AUTHORITY, &loaded);
    assert_memory_equal(loaded.agreement.id, agreement.id, ASSOCIATION_ID_SIZE);
    assert_memory_equal(loaded.agreement.key.data, agreement.key.data, SECRET_SIZE);
    assert_int_equal(loaded.slot, ASSOCIATION_CURRENT);
    /* The other role's is another row. */
    assert_int_equal(association_load(pair->in_cse->store, ASSOCIATION_MEMBER, take_one, &loaded, &why),
                     RESULT_OK);
    assert_int_equal(loaded.role, ASSOCIATION_AUTHORITY);

    Groupseal__Envelope__Accept accept = GROUPSEAL__ENVELOPE__ACCEPT__INIT;
    Groupseal__Envelope__RecordBody body = GROUPSEAL__ENVELOPE__RECORD_BODY__INIT;
    Groupseal__Envelope__Record *record = NULL;
    body.content_case = GROUPSEAL__ENVELOPE__RECORD_BODY__CONTENT_ACCEPT;
    body.accept = &accept;
    assert_int_equal(association_seal(&loaded, pair->in_cse->store, &pair->in_cse->clock, &body, pair->arena,
                                      &record, &why),
                     RESULT_OK);
    assert_int_equal(count_of(pair->in_cse, true), 1);
    assert_int_equal(association_remove(&loaded, pair->in_cse->store, &why), RESULT_OK);
    assert_int_equal(count_of(pair->in_cse, false), 0);
    assert_int_equal(count_of(pair->in_cse, true), 0);
    association_wipe(&loaded);
    const struct secret zero = {{0}};
    assert_memory_equal(loaded.agreement.key.data, zero.data, SECRET_SIZE);
}

/* A handshake that ended before it was installed leaves a counter; the next start removes it. */
static void abandoned_counters_go(void **state)
{
    struct pair *pair = *state;
    struct reason why = {""};
    (void)seal_accept(pair, true);
    struct agreement agreement = some_agreement(9);
    struct association *installed = &pair->member;
    struct association kept = *installed;
    association_init(installed, ASSOCIATION_MEMBER, ASSOCIATION_CURRENT, DOOR, AUTHORITY, &agreement, 8);
    (void)seal_accept(pair, true);
    assert_int_equal(count_of(pair->door, true), 2);
    struct association loaded;
    reload(pair->door, ASSOCIATION_MEMBER, &loaded);
    assert_memory_equal(loaded.agreement.id, kept.agreement.id, ASSOCIATION_ID_SIZE);
    assert_int_equal(count_of(pair->door, true), 1);
    assert_int_equal(association_save(&loaded, pair->door->store, &why), RESULT_OK);
}

static void first_is_signed(void **state)
{
    (void)state;
    struct signing_key key;
    struct signing_key other;
    uint8_t signature[SIGNATURE_SIZE];
    struct agreement agreement = some_agreement(1);
    assert_int_equal(signing_key_make(&key), RESULT_OK);
    assert_int_equal(signing_key_make(&other), RESULT_OK);
    assert_int_equal(first_sign(&agreement, DOOR, &key, signature), RESULT_OK);
    Groupseal__Envelope__First first = GROUPSEAL__ENVELOPE__FIRST__INIT;
    first.signing_key = arena_field(BYTES_OF(key.public_key));
    first.signature = arena_field(BYTES_OF(signature));
    assert_int_equal(first_check(&agreement, DOOR, &first), RESULT_OK);
    assert_int_equal(first_check(&agreement, "//sp.example/Sdoor2", &first), RESULT_REFUSED);
    struct agreement another = some_agreement(2);
    assert_int_equal(first_check(&another, DOOR, &first), RESULT_REFUSED);
    first.signing_key = arena_field(BYTES_OF(other.public_key));
    assert_int_equal(first_check(&agreement, DOOR, &first), RESULT_REFUSED);
    first.signing_key.len = 31;
    assert_int_not_equal(first_check(&agreement, DOOR, &first), RESULT_OK);
    first.signing_key = arena_field(BYTES_OF(key.public_key));
    first.signature.len = 0;
    assert_int_not_equal(first_check(&agreement, DOOR, &first), RESULT_OK);
}

/* ---- carriage ---- */

static enum result carry(struct pair *pair, const Groupseal__Envelope__EndToEnd *object)
{
    struct bytes packed = {NULL, 0};
    struct reason why = {""};
    Groupseal__Envelope__EndToEnd *parsed = NULL;
    assert_int_equal(carriage_pack(object, pair->arena, &packed), RESULT_OK);
    return carriage_parse(packed, pair->arena, &parsed, &why);
}

static void carriage_has_its_parts(void **state)
{
    struct pair *pair = *state;
    uint8_t bytes[64] = {0};
    Groupseal__Envelope__Record *record = seal_accept(pair, true);
    Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    assert_int_equal(carry(pair, &object), RESULT_INVALID); /* nothing in it */
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    object.record = record;
    assert_int_equal(carry(pair, &object), RESULT_OK);
    record->boot.len = 7;
    assert_int_equal(carry(pair, &object), RESULT_INVALID);
    record->boot.len = 8;
    record->type = (Groupseal__Envelope__RecordType)groupseal__envelope__record_type__descriptor.n_values;
    assert_int_equal(carry(pair, &object), RESULT_INVALID);
    record->type = GROUPSEAL__ENVELOPE__RECORD_TYPE__RECORD_ACCEPT;

    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT;
    object.flight = &flight;
    static const struct {
        uint32_t number;
        size_t hash;
        size_t tls;
        bool record;
        bool good;
    } cases[] = {
        {1, 0, 5, false, true},  {2, 32, 5, false, true},  {3, 32, 5, true, true},   {4, 32, 0, true, true},
        {0, 0, 5, false, false}, {5, 32, 0, true, false},  {1, 32, 5, false, false}, {1, 0, 0, false, false},
        {1, 0, 5, true, false},  {2, 31, 5, false, false}, {2, 32, 0, false, false}, {3, 32, 5, false, false},
        {3, 32, 0, true, false}, {4, 32, 5, true, false},  {4, 32, 0, false, false}, {4, 0, 0, true, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        flight.number = cases[i].number;
        flight.hello_hash = arena_field((struct bytes){bytes, cases[i].hash});
        flight.tls = arena_field((struct bytes){bytes, cases[i].tls});
        flight.record = cases[i].record ? record : NULL;
        assert_int_equal(carry(pair, &object), cases[i].good ? RESULT_OK : RESULT_INVALID);
    }

    Groupseal__Envelope__Refusal refusal = GROUPSEAL__ENVELOPE__REFUSAL__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
    object.refusal = &refusal;
    assert_int_equal(carry(pair, &object), RESULT_OK);
}

static void carriage_is_bounded(void **state)
{
    struct pair *pair = *state;
    struct reason why = {""};
    struct bytes packed = {NULL, 0};
    static uint8_t big[OBJECT_LIMIT + 1];
    Groupseal__Envelope__EndToEnd *parsed = NULL;
    Groupseal__Envelope__Flight flight = GROUPSEAL__ENVELOPE__FLIGHT__INIT;
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_FLIGHT;
    object.flight = &flight;
    flight.number = 1;
    flight.tls = arena_field((struct bytes){big, OBJECT_LIMIT});
    assert_int_equal(carriage_pack(&object, pair->arena, &packed), RESULT_FULL);
    flight.tls.len = OBJECT_LIMIT - 16;
    assert_int_equal(carriage_pack(&object, pair->arena, &packed), RESULT_OK);
    assert_int_equal(carriage_parse(packed, pair->arena, &parsed, &why), RESULT_OK);
    assert_int_equal(carriage_parse((struct bytes){big, OBJECT_LIMIT + 1}, pair->arena, &parsed, &why),
                     RESULT_INVALID);
    assert_int_equal(carriage_parse((struct bytes){NULL, 0}, pair->arena, &parsed, &why), RESULT_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_arrive),
        TEST(replays_and_late_records_are_refused),
        TEST(wrong_direction_is_refused),
        TEST(type_and_content_agree),
        TEST(altered_records_are_refused),
        TEST(names_are_bound),
        TEST(restart_keeps_keys_and_never_a_nonce),
        TEST(undo_gives_the_record_back),
        TEST(slots_replace_and_move),
        TEST(abandoned_counters_go),
        TEST(first_is_signed),
        TEST(carriage_has_its_parts),
        TEST(carriage_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
