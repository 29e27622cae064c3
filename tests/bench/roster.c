/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/roster.h"

#include <string.h>

#define ADD_AT_ONCE 64u /* members in a request of the operator */

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant; /* protobuf-c's fields are not const */
}

static void members_add(struct secenv_client *client, Groupseal__Secenv__NewMember **list, size_t count)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__MemberAdd add = GROUPSEAL__SECENV__MEMBER_ADD__INIT;
    add.n_members = count;
    add.members = list;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_MEMBER_ADD;
    request.member_add = &add;
    secenv_client_free(environment_call(client, &request));
}

void roster_add_mn_cse(struct secenv_client *client)
{
    Groupseal__Secenv__NewMember member = GROUPSEAL__SECENV__NEW_MEMBER__INIT;
    Groupseal__Secenv__NewMember *list[] = {&member};
    member.name = text(BENCH_MN_CSE);
    member.kind = GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_MN_CSE;
    member.mode = GROUPSEAL__SECENV__MODE__MODE_CERT;
    members_add(client, list, 1);
}

static void some_add(struct secenv_client *client, unsigned first, unsigned count, const struct secret *psks,
                     char **functions, size_t function_count)
{
    Groupseal__Secenv__NewMember members[ADD_AT_ONCE];
    Groupseal__Secenv__NewMember *list[ADD_AT_ONCE];
    char names[ADD_AT_ONCE][64];
    for (unsigned i = 0; i < count; i++) {
        groupseal__secenv__new_member__init(&members[i]);
        bench_device_name(first + i, names[i], sizeof(names[i]));
        members[i].name = names[i];
        members[i].kind = GROUPSEAL__SECENV__MEMBER_KIND__MEMBER_ADN_AE;
        members[i].mode = GROUPSEAL__SECENV__MODE__MODE_CERT;
        members[i].site = text(BENCH_MN_CSE);
        members[i].functions = functions;
        members[i].n_functions = function_count;
        if (psks != NULL) {
            members[i].mode = GROUPSEAL__SECENV__MODE__MODE_PSK;
            members[i].psk = (ProtobufCBinaryData){SECRET_SIZE, (uint8_t *)(uintptr_t)psks[first + i].data};
        }
        list[i] = &members[i];
    }
    members_add(client, list, count);
}

void roster_add_devices(struct secenv_client *client, unsigned first, unsigned count,
                        const struct secret *psks, const char *const *functions, size_t function_count)
{
    for (unsigned done = 0; done < count; done += ADD_AT_ONCE) {
        unsigned left = count - done;
        some_add(client, first + done, left < ADD_AT_ONCE ? left : ADD_AT_ONCE, psks,
                 (char **)(uintptr_t)functions, function_count);
    }
}

void roster_create_group(struct secenv_client *client, const char *name, const char *function,
                         uint32_t window_ms)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__GroupCreate create = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {text(BENCH_MN_CSE)};
    create.name = text(name);
    create.function = text(function);
    create.n_sites = 1;
    create.sites = sites;
    create.response_window_ms = window_ms;
    create.authority_only = true;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_CREATE;
    request.group_create = &create;
    secenv_client_free(environment_call(client, &request));
}

unsigned roster_group_size(struct secenv_client *client, const char *name)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__GroupList list = GROUPSEAL__SECENV__GROUP_LIST__INIT;
    unsigned size = 0;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_GROUP_LIST;
    request.group_list = &list;
    Groupseal__Secenv__FromSecenv *message = environment_call(client, &request);
    for (size_t i = 0; i < message->reply->groups->n_groups; i++) {
        const Groupseal__Secenv__GroupRow *row = message->reply->groups->groups[i];
        size = strcmp(row->name, name) == 0 ? row->members : size;
    }
    secenv_client_free(message);
    return size;
}
