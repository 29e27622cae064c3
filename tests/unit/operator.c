/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/operator.h"

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

Groupseal__Secenv__Reply *operator_call(struct site *site, Groupseal__Secenv__ToSecenv *request)
{
    return site_request(site_authority(site), SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION, request);
}

static Groupseal__Secenv__Code code_of(struct site *site, Groupseal__Secenv__ToSecenv *request)
{
    Groupseal__Secenv__Reply *reply = operator_call(site, request);
    Groupseal__Secenv__Code code = reply->code;
    if (code != GROUPSEAL__SECENV__CODE__OK) {
        assert_true(reply->reason[0] != '\0');
        assert_int_equal(reply->content_case, GROUPSEAL__SECENV__REPLY__CONTENT__NOT_SET);
    }
    site_reply_free(reply);
    return code;
}

Groupseal__Secenv__Code operator_add(struct site *site, Groupseal__Secenv__NewMember *const *members,
                                     size_t count)
{
    Groupseal__Secenv__MemberAdd content = GROUPSEAL__SECENV__MEMBER_ADD__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.members = (Groupseal__Secenv__NewMember **)(uintptr_t)members;
    content.n_members = count;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_ADD;
    request.member_add = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_evict(struct site *site, const char *name)
{
    return operator_evict_all(site, &name, 1);
}

Groupseal__Secenv__Code operator_evict_all(struct site *site, const char *const *names, size_t count)
{
    Groupseal__Secenv__MemberEvict content = GROUPSEAL__SECENV__MEMBER_EVICT__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.names = (char **)(uintptr_t)names;
    content.n_names = count;
    content.reason = text("stolen");
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_EVICT;
    request.member_evict = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_move(struct site *site, const char *name, const char *to)
{
    Groupseal__Secenv__MemberMove content = GROUPSEAL__SECENV__MEMBER_MOVE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(name);
    content.site = text(to);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_MOVE;
    request.member_move = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_reauthenticate(struct site *site, const char *name)
{
    Groupseal__Secenv__MemberReauthenticate content = GROUPSEAL__SECENV__MEMBER_REAUTHENTICATE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(name);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_REAUTHENTICATE;
    request.member_reauthenticate = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_create(struct site *site, Groupseal__Secenv__GroupCreate *group)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_CREATE;
    request.group_create = group;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_set(struct site *site, const char *group, Groupseal__Secenv__Switch commands,
                                     Groupseal__Secenv__Switch sign)
{
    Groupseal__Secenv__GroupSet content = GROUPSEAL__SECENV__GROUP_SET__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(group);
    content.mn_cse_commands = commands;
    content.sign_member_messages = sign;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SET;
    request.group_set = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_rotate_every(struct site *site, const char *group, uint32_t seconds)
{
    Groupseal__Secenv__GroupSet content = GROUPSEAL__SECENV__GROUP_SET__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(group);
    content.rotate_every_s = seconds;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SET;
    request.group_set = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_confirm(struct site *site, const char *name)
{
    Groupseal__Secenv__MemberConfirm content = GROUPSEAL__SECENV__MEMBER_CONFIRM__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    char *names[] = {text(name)};
    content.all = name != NULL && strcmp(name, "--all") == 0;
    content.names = names;
    content.n_names = name != NULL && !content.all ? 1 : 0;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_CONFIRM;
    request.member_confirm = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_release(struct site *site, const char *group)
{
    Groupseal__Secenv__GroupRelease content = GROUPSEAL__SECENV__GROUP_RELEASE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(group);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_RELEASE;
    request.group_release = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_rotate(struct site *site, const char *group)
{
    Groupseal__Secenv__GroupRotate content = GROUPSEAL__SECENV__GROUP_ROTATE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(group);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_ROTATE;
    request.group_rotate = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_delete(struct site *site, const char *group)
{
    Groupseal__Secenv__GroupDelete content = GROUPSEAL__SECENV__GROUP_DELETE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(group);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_DELETE;
    request.group_delete = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_leaf_age(struct site *site, uint32_t seconds)
{
    Groupseal__Secenv__Settings content = GROUPSEAL__SECENV__SETTINGS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.leaf_age_s = seconds;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SETTINGS;
    request.settings = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Code operator_collect(struct site *site, uint32_t ms)
{
    Groupseal__Secenv__Settings content = GROUPSEAL__SECENV__SETTINGS__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.collect_ms = ms;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SETTINGS;
    request.settings = &content;
    return code_of(site, &request);
}

Groupseal__Secenv__Reply *operator_clock(struct site *site, bool accept)
{
    Groupseal__Secenv__Clock content = GROUPSEAL__SECENV__CLOCK__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.accept = accept;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_CLOCK;
    request.clock = &content;
    return operator_call(site, &request);
}

Groupseal__Secenv__Code operator_revocation(struct site *site, struct bytes lists,
                                            Groupseal__Secenv__Reply **out)
{
    Groupseal__Secenv__RevocationSet content = GROUPSEAL__SECENV__REVOCATION_SET__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.lists = arena_field(lists);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_REVOCATION_SET;
    request.revocation_set = &content;
    Groupseal__Secenv__Reply *reply = operator_call(site, &request);
    Groupseal__Secenv__Code code = reply->code;
    if (out != NULL) {
        *out = reply;
    } else {
        site_reply_free(reply);
    }
    return code;
}

Groupseal__Secenv__Reply *operator_revocations(struct site *site)
{
    Groupseal__Secenv__RevocationShow content = GROUPSEAL__SECENV__REVOCATION_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_REVOCATION_SHOW;
    request.revocation_show = &content;
    return operator_call(site, &request);
}

Groupseal__Secenv__Reply *operator_list(struct site *site, const char *after)
{
    Groupseal__Secenv__MemberList content = GROUPSEAL__SECENV__MEMBER_LIST__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.after = text(after);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_LIST;
    request.member_list = &content;
    return operator_call(site, &request);
}

Groupseal__Secenv__Reply *operator_show(struct site *site, const char *group)
{
    Groupseal__Secenv__GroupShow content = GROUPSEAL__SECENV__GROUP_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.name = text(group);
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_SHOW;
    request.group_show = &content;
    return operator_call(site, &request);
}

Groupseal__Secenv__Reply *operator_order(struct site *site, const char *group, const char *body,
                                         const char *const *targets, size_t count, uint32_t valid_ms)
{
    Groupseal__Secenv__OrderSend content = GROUPSEAL__SECENV__ORDER_SEND__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.group = text(group);
    content.body = (ProtobufCBinaryData){.len = strlen(body), .data = (uint8_t *)(uintptr_t)body};
    content.targets = (char **)(uintptr_t)targets;
    content.n_targets = count;
    content.valid_ms = valid_ms;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SEND;
    request.order_send = &content;
    return operator_call(site, &request);
}

Groupseal__Secenv__Reply *operator_order_list(struct site *site)
{
    Groupseal__Secenv__OrderList content = GROUPSEAL__SECENV__ORDER_LIST__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_LIST;
    request.order_list = &content;
    return operator_call(site, &request);
}

Groupseal__Secenv__Reply *operator_order_page(struct site *site, struct bytes command_id, uint32_t page)
{
    Groupseal__Secenv__OrderShow content = GROUPSEAL__SECENV__ORDER_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.command_id = arena_field(command_id);
    content.page = page;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_SHOW;
    request.order_show = &content;
    return operator_call(site, &request);
}

Groupseal__Secenv__Reply *operator_order_show(struct site *site, struct bytes command_id)
{
    return operator_order_page(site, command_id, 0);
}

void new_member_init(struct new_member *out, const char *name, enum identity_kind kind,
                     enum credentials_mode mode, const char *at, const char *function)
{
    memset(out, 0, sizeof(*out));
    groupseal__secenv__new_member__init(&out->member);
    out->member.name = text(name);
    out->member.kind = (Groupseal__Secenv__MemberKind)kind;
    out->member.mode = (Groupseal__Secenv__Mode)mode;
    if (mode == CREDENTIALS_PSK) {
        site_psk(name, &out->psk);
        out->member.psk = (ProtobufCBinaryData){.len = SECRET_SIZE, .data = out->psk.data};
    }
    if (at != NULL) {
        out->member.site = text(at);
    }
    out->functions[0] = text(function);
    out->member.functions = out->functions;
    out->member.n_functions = function != NULL ? 1 : 0;
}
