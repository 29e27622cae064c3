/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUDIT_H
#define GROUPSEAL_SECENV_AUDIT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Audit counters: named, rising, kept in the process, read over the audit socket. The
 * closed list is AUDIT_LIST; docs/operations.md explains each for operators.
 */
#define AUDIT_LIST(X)                                                                                        \
    X(HANDSHAKES_STARTED, "handshakes_started")                                                              \
    X(HANDSHAKES_DONE, "handshakes_done")                                                                    \
    X(HANDSHAKES_DONE_CERT, "handshakes_done_cert")                                                          \
    X(HANDSHAKES_DONE_PSK, "handshakes_done_psk")                                                            \
    X(HANDSHAKES_REFUSED, "handshakes_refused")                                                              \
    X(REFUSED_CHAIN, "refused_chain")         /* CA, validity, usage, revoked */                             \
    X(REFUSED_NAME, "refused_name")           /* certificate name or PSK identity is another's */            \
    X(REFUSED_PSK, "refused_psk")             /* wrong key */                                                \
    X(REFUSED_UNKNOWN, "refused_unknown")     /* not in the roster, unknown PSK identity */                  \
    X(REFUSED_MECHANISM, "refused_mechanism") /* ALPN */                                                     \
    X(REFUSED_HELLO, "refused_hello")         /* malformed, no key_share, early data */                      \
    X(REFUSED_BUSY, "refused_busy")           /* too many a second, or under way */                          \
    X(OBJECTS_REFUSED, "objects_refused")     /* end-to-end objects that are no flight or record for us */   \
    X(RECORDS_SEALED, "records_sealed")                                                                      \
    X(RECORDS_OPENED, "records_opened")                                                                      \
    X(RECORDS_REFUSED, "records_refused")                                                                    \
    X(CONTENTS_REFUSED, "contents_refused") /* of authentic records */                                       \
    X(ANSWERS_REFUSED, "answers_refused")   /* to our own objects: a refusal, or not what was asked for */   \
    X(GROUPS_CREATED, "groups_created")                                                                      \
    X(GROUP_KEYS_MADE, "group_keys_made")     /* authority: epochs */                                        \
    X(PACKAGES_SENT, "packages_sent")         /* authority: sealed into an association */                    \
    X(PACKAGES_ACCEPTED, "packages_accepted") /* authority: ACCEPT came back */                              \
    X(PACKAGES_OPENED, "packages_opened")     /* member: taken and stored */                                 \
    X(EPOCHS_CLIMBED, "epochs_climbed")                                                                      \
    X(ANNOUNCEMENTS_REFUSED, "announcements_refused")                                                        \
    X(POLICIES_REFUSED, "policies_refused")                                                                  \
    X(BLOCKS_REFUSED, "blocks_refused")                                                                      \
    X(TOPICS_REFUSED, "topics_refused")     /* heard of a group, site or topic that is not ours */           \
    X(COMMANDS_ORDERED, "commands_ordered") /* authority */                                                  \
    X(COMMANDS_SEALED, "commands_sealed")   /* MN-CSE, each sealing */                                       \
    X(COMMANDS_SEAL_US, "commands_seal_us") /* MN-CSE: microseconds that these took, summed up */            \
    X(COMMANDS_OWN, "commands_own")         /* MN-CSE: commands of its own */                                \
    X(COMMANDS_OPENED, "commands_opened")   /* member: given to the application */                           \
    X(COMMANDS_DUPLICATE, "commands_duplicate")                                                              \
    X(COMMANDS_REPLAYED, "commands_replayed")                                                                \
    X(COMMANDS_DROPPED, "commands_dropped") /* not synchronised, old epoch, below floor */                   \
    X(COMMANDS_REFUSED, "commands_refused")                                                                  \
    X(MESSAGES_SEALED, "messages_sealed")                                                                    \
    X(MESSAGES_OPENED, "messages_opened")                                                                    \
    X(MESSAGES_REFUSED, "messages_refused")                                                                  \
    X(SYNCS_SENT, "syncs_sent")                                                                              \
    X(SYNCS_ANSWERED, "syncs_answered")                                                                      \
    X(SYNCS_DONE, "syncs_done")                                                                              \
    X(SYNCS_REFUSED, "syncs_refused") /* member: replies; MN-CSE: a member asks too often */                 \
    X(RECEIPTS_SEALED, "receipts_sealed")                                                                    \
    X(RECEIPTS_TAKEN, "receipts_taken")                                                                      \
    X(RECEIPTS_LATE, "receipts_late") /* MN-CSE: the first answer came after the response window */          \
    X(RECEIPTS_REFUSED, "receipts_refused")                                                                  \
    X(HOLDINGS_SEALED, "holdings_sealed")   /* member: that it has an epoch */                               \
    X(HOLDINGS_TAKEN, "holdings_taken")     /* MN-CSE */                                                     \
    X(REQUESTS_REFUSED, "requests_refused") /* not in the table of the socket */                             \
    X(OWNER_REFUSED, "owner_refused")       /* asked for what the owner has no right to */                   \
    X(OWNER_TOO_OFTEN, "owner_too_often")   /* beyond the owner's rate: refused or put off */                \
    X(OWNER_WITHHELD, "owner_withheld")     /* texts that the owner may not read */                          \
    X(CLOCK_DOUBTED, "clock_doubted")       /* authority: times that the system clock became so */           \
    X(COMMITS, "commits")

enum audit_counter {
#define AUDIT_ENUM(name, text) AUDIT_##name,
    AUDIT_LIST(AUDIT_ENUM)
#undef AUDIT_ENUM
        AUDIT_COUNT
};

void audit_count(enum audit_counter counter);
void audit_add(enum audit_counter counter, uint64_t amount);
uint64_t audit_value(enum audit_counter counter);
const char *audit_name(enum audit_counter counter);

#endif
