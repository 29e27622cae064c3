/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>

#include "secenv/member/membership.h"
#include "site_keys.h"

bool member_record(struct site *site, struct site_node *member, const Groupseal__Envelope__RecordBody *body,
                   struct arena *arena, struct bytes *out)
{
    Groupseal__Envelope__EndToEnd object = GROUPSEAL__ENVELOPE__END_TO_END__INIT;
    struct identity_state *identity = engine_identity(site_engine(member), site_name(member));
    struct store *store = site_store(member);
    struct reason why;
    if (!identity->associated || store_begin(store, &why) != RESULT_OK) {
        return false;
    }
    object.content_case = GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_RECORD;
    bool made = association_seal(&identity->association, store, site_clock(site), body, arena, &object.record,
                                 &why) == RESULT_OK &&
                carriage_pack(&object, arena, out) == RESULT_OK;
    return store_commit(store, &why) == RESULT_OK && made;
}

bool member_seal(struct site_node *member, const char *group, struct member_seal *out)
{
    struct identity_state *identity = engine_identity(site_engine(member), site_name(member));
    const struct membership *membership = membership_find(identity, group);
    if (membership == NULL || !membership_ready(membership) || membership->site_count == 0) {
        return false;
    }
    (void)snprintf(out->site, sizeof(out->site), "%s", membership->sites[0].site);
    out->epoch_key = membership->current.secret;
    out->aead = (enum aead)membership_policy(membership)->aead;
    out->context = (struct seal_context){.incarnation = membership->incarnation,
                                         .site = out->site,
                                         .ae = site_name(member),
                                         .epoch = membership->current.epoch,
                                         .serial = membership->serial};
    memcpy(out->context.instance, membership->instance, INSTANCE_SIZE);
    memset(out->context.boot, 0x5a, BOOT_SIZE);
    return true;
}
