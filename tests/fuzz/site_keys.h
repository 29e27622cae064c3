/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_FUZZ_SITE_KEYS_H
#define GROUPSEAL_TESTS_FUZZ_SITE_KEYS_H

#include "tests/unit/site.h"

#include "secenv/association.h"

/*
 * The keys of a site's engines, for what only they could say: the other end takes it for theirs. Each keeps
 * the counters of the engine whose key it uses. An engine's keys are read in a file for each profile, since
 * both call their state by one name.
 */

/* An EndToEnd with this body, as the member sends it to the authority; false where it has no association. */
bool member_record(struct site *site, struct site_node *member, const Groupseal__Envelope__RecordBody *body,
                   struct arena *arena, struct bytes *out);
/* The same, as the authority sends it to the member. */
bool authority_record(struct site *site, const char *member, const Groupseal__Envelope__RecordBody *body,
                      struct arena *arena, struct bytes *out);
/* The key that signs announcements, policies, blocks and rosters. */
const struct signing_key *authority_signing_key(struct site *site);

/* Where the node is a member of the group: the header and keys with which it would seal now. */
struct member_seal {
    struct seal_context context; /* views `site` and the node's name */
    char site[SITE_LIMIT + 1];
    struct secret epoch_key;
    enum aead aead;
};
bool member_seal(struct site_node *member, const char *group, struct member_seal *out);

#endif
