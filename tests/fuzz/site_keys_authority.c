/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/authority.h"
#include "site_keys.h"

bool authority_record(struct site *site, const char *member, const Groupseal__Envelope__RecordBody *body,
                      struct arena *arena, struct bytes *out)
{
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    struct engine *engine = site_engine(site_authority(site));
    struct peer *peer = peers_find(&engine->peers, member);
    struct reason why;
    if (peer == NULL || peer->current == NULL || store_begin(engine->store, &why) != RESULT_OK) {
        return false;
    }
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    bool made = association_seal(peer->current, engine->store, engine->clock, body, arena, &object.record,
                                 &why) == RESULT_OK &&
                carriage_pack(&object, arena, out) == RESULT_OK;
    return store_commit(engine->store, &why) == RESULT_OK && made;
}

const struct signing_key *authority_signing_key(struct site *site)
{
    const struct engine *engine = site_engine(site_authority(site));
    return &engine->keys.authority;
}
