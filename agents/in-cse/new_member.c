/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/new_member.h"

#include <string.h>
#include <strings.h>

#define PSK_SIZE 32u

void new_member_clear(struct new_member *member)
{
    explicit_bzero(member->psk, sizeof(member->psk));
}

static bool psk_read(struct new_member *member, const char *path)
{
    char why[512];
    size_t length = 0;
    if (!psk_file_read(path, member->psk, sizeof(member->psk), &length, why, sizeof(why))) {
        operator_say("%s", why);
        return false;
    }
    if (length != PSK_SIZE) {
        operator_say("the pre-shared key in %s has %zu bytes: an end-to-end key has %u", path, length,
                     PSK_SIZE);
        new_member_clear(member);
        return false;
    }
    member->message.psk = (ProtobufCBinaryData){length, member->psk};
    return true;
}

bool new_member_make(const struct operator_session *session, const struct new_member_wish *wish,
                     struct new_member *out)
{
    groupseal__secenv__new_member__init(&out->message);
    if (!operator_resolve(session, wish->name, out->name)) {
        return false;
    }
    if (onem2m_id_is_ae(out->name) == wish->mn_cse) {
        operator_say("%s is %s, not %s", out->name, wish->mn_cse ? "an AE" : "a CSE",
                     wish->mn_cse ? "an MN-CSE" : "an ADN-AE");
        return false;
    }
    out->message.name = out->name;
    out->message.kind = wish->mn_cse ? GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE
                                     : GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_ADN_AE;
    out->message.mode = wish->psk ? GROUPSEAL__SECENV__MODE__MODE_PSK : GROUPSEAL__SECENV__MODE__MODE_CERT;
    out->message.functions = wish->functions;
    out->message.n_functions = wish->function_count;
    if (wish->psk_identity != NULL) {
        out->message.psk_identity = (char *)(uintptr_t)wish->psk_identity;
    }
    if (wish->site != NULL && wish->site[0] != '\0') {
        if (!operator_resolve(session, wish->site, out->site)) {
            return false;
        }
        if (onem2m_id_is_ae(out->site)) {
            operator_say("the site %s is an AE: it must be the CSE-ID of an MN-CSE", out->site);
            return false;
        }
        out->message.site = out->site;
    }
    return !wish->psk || psk_read(out, wish->psk_file);
}

enum exit_code new_members_add(struct operator_session *session, struct new_member *members, size_t count)
{
    Groupseal__Secenv__NewMember *list[NEW_MEMBERS_LIMIT];
    Groupseal__Secenv__MemberAdd add = GROUPSEAL__SECENV__MEMBER_ADD__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__FromSecenv *message = NULL;
    for (size_t i = 0; i < count; i++) {
        list[i] = &members[i].message;
    }
    add.members = list;
    add.n_members = count;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_ADD;
    request.member_add = &add;
    enum exit_code code = operator_change(session, &request, &message);
    secenv_client_free(message);
    return code;
}
