/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/revoking.h"

#include <string.h>

#include "secenv/member/event.h"
#include "secenv/revocation.h"

/* An entry that cannot be read may be the one: asking once more costs little. */
static bool list_names(const struct revocation_list *list, const uint8_t mark[CERTIFICATE_MARK_SIZE])
{
    struct bytes rest = list->revoked;
    struct bytes serial;
    enum result result;
    while ((result = revocation_serial_next(&rest, &serial)) == RESULT_OK) {
        uint8_t other[CERTIFICATE_MARK_SIZE];
        if (certificate_mark(list->issuer, serial, other) == RESULT_OK &&
            memcmp(other, mark, CERTIFICATE_MARK_SIZE) == 0) {
            return true;
        }
    }
    return result != RESULT_UNKNOWN;
}

static bool authority_is_revoked(const struct identity_state *identity)
{
    for (size_t i = 0; i < handshake_context_list_count(identity->tls); i++) {
        struct revocation_list list;
        (void)handshake_context_list(identity->tls, i, &list);
        if (list_names(&list, identity->association.agreement.certificate)) {
            return true;
        }
    }
    return false;
}

enum result revoking_take(struct identity_state *identity, const Groupseal__Envelope__Revocation *revocation,
                          struct reason *why)
{
    enum result result = revocation_take(identity->engine->setup.store, &identity->identity, identity->tls,
                                         arena_view(revocation->crl), why);
    if (result != RESULT_OK) {
        return result;
    }
    GUARD(event_notice(identity, GROUPSEAL__SECENV__SEVERITY__INFO, "a newer CRL is in use"));
    if (!identity->associated || !authority_is_revoked(identity)) {
        return RESULT_OK;
    }
    GUARD(authentication_order(identity, why));
    return event_notice(identity, GROUPSEAL__SECENV__SEVERITY__ALARM,
                        "the certificate by which %s authenticated is revoked: authenticating anew",
                        identity->identity.authority);
}

enum result revoking_alarm(const struct identity_state *identity)
{
    struct revocation_list overdue;
    char when[CERTIFICATE_TIME_SIZE];
    if (!handshake_context_unrevoked(identity->tls, &overdue)) {
        return RESULT_OK;
    }
    if (overdue.issuer.length == 0) {
        return event_notice(identity, GROUPSEAL__SECENV__SEVERITY__ALARM,
                            "there is no CRL here: %s was taken all the same", identity->identity.authority);
    }
    certificate_time_text(overdue.next_update, when);
    return event_notice(identity, GROUPSEAL__SECENV__SEVERITY__ALARM,
                        "the CRL is overdue since %s: %s was taken all the same", when,
                        identity->identity.authority);
}
