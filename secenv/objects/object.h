#ifndef GROUPSEAL_SECENV_OBJECTS_OBJECT_H
#define GROUPSEAL_SECENV_OBJECTS_OBJECT_H

#include "envelope.pb-c.h"
#include "secenv/arena.h"
#include "secenv/crypto/kdf.h"
#include "secenv/crypto/signature.h"
#include "secenv/tree.h"

/*
 * Signed objects of docs/protocol.md: for each, the limits of its fields, its list, making and
 * checking its signature, both ends side by side. `_check` parses nothing and looks up nothing:
 * it is given the unpacked object and answers RESULT_INVALID (limits) or RESULT_REFUSED
 * (signature). `_sign` refuses what `_check` would, and points the object's signature field at
 * `signature`, which must live as long as the object. No state is changed by anything here.
 */

#define OBJECT_LIMIT 49152u /* 48 KiB: an EndToEnd, a sealed message, a retained object */
#define NAME_LIMIT 128u
#define GROUP_NAME_LIMIT 64u
#define SITE_LIMIT 64u
#define DETAIL_LIMIT 200u
#define BODY_LIMIT 16384u /* 16 KiB */
#define COMMAND_ID_SIZE 16u
#define NONCE_SIZE 8u
#define MEMBERS_LIMIT (1u << TREE_HEIGHT_MAX) /* of a group, its MN-CSEs among them */
#define GROUP_SITES_LIMIT 16u                 /* MN-CSEs of a group */
#define MEMBERSHIPS_LIMIT 64u                 /* groups of one MN-CSE or device */
#define TARGETS_LIMIT 256u
#define EVICTED_LIMIT 64u
#define ANNOUNCEMENT_SIZE 1024u /* packed; what would make it longer is not named as evicted */
#define RELAYS_LIMIT 64u
#define COMMANDERS_LIMIT 16u
#define PAGE_ENTRIES_LIMIT 128u
#define WANTED_LIMIT 512u /* members that a command is sealed again for */
#define SERIAL_SIZE 8u

/*
 * Unpacks an object that came from elsewhere (a fuzz target): NULL where it is over OBJECT_LIMIT, is none,
 * has text with NUL or that is not UTF-8, a field of another wire type than its own, one twice that is not
 * repeated, or a group. The result lives in the arena.
 */
void *object_unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes packed,
                    struct arena *arena) MUST_USE;

bool object_name_valid(const char *name); /* absolute id, docs/protocol.md section 1 */
bool object_group_valid(const char *group);
bool object_site_valid(const char *site); /* [A-Za-z0-9._:-], at most SITE_LIMIT */
/* "mn-1" for "//sp.example/mn-1": TS-0010 6.4.2. `out` of SITE_LIMIT + 1. */
enum result object_site_of(const char *cse_name, char *out, size_t size) MUST_USE;

/* announcement.c */
enum result announcement_sign(Groupseal__Envelope__Announcement *announcement,
                              const struct signing_key *authority,
                              uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result announcement_check(const Groupseal__Envelope__Announcement *announcement,
                               struct bytes authority_key, struct reason *why) MUST_USE;
/* Compares (incarnation, epoch, beat): below, equal to or above 0. */
int announcement_compare(const Groupseal__Envelope__Announcement *a,
                         const Groupseal__Envelope__Announcement *b);

/* block.c */
enum result block_sign(Groupseal__Envelope__Block *block, const struct signing_key *authority,
                       uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result block_check(const Groupseal__Envelope__Block *block, struct bytes authority_key,
                        struct reason *why) MUST_USE;

/* policy.c */
enum result policy_hash(const Groupseal__Envelope__Policy *policy, uint8_t out[HASH_SIZE]) MUST_USE;
enum result policy_sign(Groupseal__Envelope__Policy *policy, const struct signing_key *authority,
                        uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result policy_check(const Groupseal__Envelope__Policy *policy, struct bytes authority_key,
                         struct reason *why) MUST_USE;
/* The relay with this serial at this site, or NULL. */
const Groupseal__Envelope__Relay *policy_relay(const Groupseal__Envelope__Policy *policy, const char *site,
                                               uint64_t incarnation, uint64_t serial);
/* The commander that this relay is at its site, by name and key, or NULL. */
const Groupseal__Envelope__Commander *policy_commanding_relay(const Groupseal__Envelope__Policy *policy,
                                                              const Groupseal__Envelope__Relay *relay);
/* The commander of this name (empty or NULL: the only one) that may command at this site, or NULL. */
const Groupseal__Envelope__Commander *policy_commander(const Groupseal__Envelope__Policy *policy,
                                                       const char *name, const char *site);

/* roster.c: entries, and the names a delta removes, in strictly rising byte order of the names; else
 * INVALID. A roster's hash is a sum over its entries, so that a change costs what it changes: of nothing it
 * is zero, and each entry is added and taken away for itself. */
enum result roster_hash_add(uint8_t hash[HASH_SIZE], const Groupseal__Envelope__RosterEntry *entry) MUST_USE;
enum result roster_hash_take(uint8_t hash[HASH_SIZE], const Groupseal__Envelope__RosterEntry *entry) MUST_USE;
enum result roster_hash(Groupseal__Envelope__RosterEntry *const *entries, size_t count,
                        uint8_t out[HASH_SIZE]) MUST_USE;
enum result roster_delta_sign(Groupseal__Envelope__RosterDelta *delta, const struct signing_key *authority,
                              uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result roster_delta_check(const Groupseal__Envelope__RosterDelta *delta, struct bytes authority_key,
                               struct reason *why) MUST_USE;
enum result roster_page_sign(Groupseal__Envelope__RosterPage *page, const struct signing_key *authority,
                             uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result roster_page_check(const Groupseal__Envelope__RosterPage *page, struct bytes authority_key,
                              struct reason *why) MUST_USE;

/* order.c */
enum result order_hash(const Groupseal__Envelope__Order *order, const uint8_t instance[INSTANCE_SIZE],
                       uint64_t incarnation, struct bytes body, uint8_t out[HASH_SIZE]) MUST_USE;
enum result order_sign(Groupseal__Envelope__Order *order, const uint8_t instance[INSTANCE_SIZE],
                       uint64_t incarnation, struct bytes body, const struct signing_key *commander,
                       uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
/* What the relay signs of a command: the order's hash, with whom it is sealed for where not for all. INVALID:
 * over a limit. */
enum result command_hash(const Groupseal__Envelope__Command *command, const uint8_t instance[INSTANCE_SIZE],
                         uint64_t incarnation, uint8_t out[HASH_SIZE]) MUST_USE;
/* True where it is sealed for the member of this serial, or for all. */
bool command_wants(const Groupseal__Envelope__Command *command, uint64_t serial);
/* Limits and signature; `site` must be among the order's sites. Time is the caller's. */
enum result order_check(const Groupseal__Envelope__Order *order, const uint8_t instance[INSTANCE_SIZE],
                        uint64_t incarnation, const char *site, struct bytes body, struct bytes commander_key,
                        struct reason *why) MUST_USE;
/* RESULT_REFUSED where the site is not among the order's; order_check sees to it too. */
enum result order_at_site(const Groupseal__Envelope__Order *order, const char *site,
                          struct reason *why) MUST_USE;
/* True where no commander has signed it: the relay that seals it commands. */
bool order_is_relays(const Groupseal__Envelope__Order *order);
bool order_targets(const Groupseal__Envelope__Order *order, const char *name);

/* seal.c: group messages */
struct seal_context {
    uint8_t instance[INSTANCE_SIZE];
    uint64_t incarnation;
    const char *site;
    enum _Groupseal__Envelope__Kind kind;
    const char *ae; /* absolute AE-ID of the topic, "" on cmd */
    uint64_t epoch;
    uint64_t serial;
    uint8_t boot[8];
    uint64_t counter;
};

/* Packs and seals: `out` is the whole payload of the topic (a Sealed). */
enum result seal_message(const struct seal_context *context, enum aead cipher, const struct secret *epoch_key,
                         struct bytes plaintext, struct buffer *out) MUST_USE;
/* Unpacks the header of a payload (no authentication yet): limits, sizes, known kind. The
 * result lives in the arena. */
enum result seal_parse(struct bytes payload, struct arena *arena, Groupseal__Envelope__Sealed **out,
                       struct reason *why) MUST_USE;
/* Opens it; context's fields from `epoch` on are taken from the parsed header by the caller. */
enum result seal_open(const struct seal_context *context, enum aead cipher, const struct secret *epoch_key,
                      struct bytes ciphertext, struct buffer *plaintext) MUST_USE;

/* Relay's seal signature over a command (hash: command_hash) or a sync (hash: see sync_hash). */
enum result seal_sign(const struct seal_context *context, uint64_t seal_expires_ms,
                      const uint8_t hash[HASH_SIZE], const struct signing_key *relay,
                      uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result seal_check(const struct seal_context *context, uint64_t seal_expires_ms,
                       const uint8_t hash[HASH_SIZE], struct bytes relay_key,
                       struct bytes signature) MUST_USE;
/* Of a relay that orders the command itself: one signature, for seal and order. */
enum result seal_order_sign(const struct seal_context *context, uint64_t seal_expires_ms,
                            const uint8_t hash[HASH_SIZE], const struct signing_key *relay,
                            uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result seal_order_check(const struct seal_context *context, uint64_t seal_expires_ms,
                             const uint8_t hash[HASH_SIZE], struct bytes relay_key,
                             struct bytes signature) MUST_USE;
enum result sync_hash(const Groupseal__Envelope__SyncReply *reply, uint8_t out[HASH_SIZE]) MUST_USE;

/* Member's signature over a message or an ack. */
enum result said_sign(const struct seal_context *context, const uint8_t hash[HASH_SIZE],
                      const struct signing_key *member, uint8_t signature[SIGNATURE_SIZE]) MUST_USE;
enum result said_check(const struct seal_context *context, const uint8_t hash[HASH_SIZE],
                       struct bytes member_key, struct bytes signature) MUST_USE;
/* INVALID where the ack has no content or is over its limits. */
enum result ack_hash(const Groupseal__Envelope__Ack *ack, uint8_t out[HASH_SIZE]) MUST_USE;

#endif
