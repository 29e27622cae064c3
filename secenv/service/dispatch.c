/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/dispatch.h"

#define BIT(value) (1u << (unsigned)(value))
#define ANY_PROFILE (BIT(STORE_AUTHORITY) | BIT(STORE_MEMBER))
#define ANY_SOCKET (BIT(SOCKET_OWNER) | BIT(SOCKET_OPERATOR) | BIT(SOCKET_AUDIT))

struct row {
    unsigned profiles;
    unsigned sockets;
    const char *name;
};

#define REQUEST(name_) GROUPSEAL__SECENV__TO_SECENV__REQUEST_##name_
#define OWNER_ANY(name_) [REQUEST(name_)] = {ANY_PROFILE, BIT(SOCKET_OWNER), #name_}
#define OWNER_MEMBER(name_) [REQUEST(name_)] = {BIT(STORE_MEMBER), BIT(SOCKET_OWNER), #name_}
#define OPERATOR(name_) [REQUEST(name_)] = {BIT(STORE_AUTHORITY), BIT(SOCKET_OPERATOR), #name_}

/* By request case; what is not here is refused everywhere. */
static const struct row table[] = {
    [REQUEST(HELLO)] = {ANY_PROFILE, ANY_SOCKET, "HELLO"},
    [REQUEST(STATUS)] = {ANY_PROFILE, ANY_SOCKET, "STATUS"},
    OWNER_ANY(ONLINE),
    OWNER_ANY(RECEIVED),
    OWNER_ANY(ANSWERED),
    OWNER_MEMBER(AUTHENTICATE),
    OWNER_MEMBER(HEARD),
    OWNER_MEMBER(SPEAK),
    OWNER_MEMBER(FINISHED),
    OWNER_MEMBER(COMMAND),
    OWNER_MEMBER(COMMAND_SHOW),
    OPERATOR(MEMBER_ADD),
    OPERATOR(MEMBER_EVICT),
    OPERATOR(MEMBER_LIST),
    OPERATOR(GROUP_CREATE),
    OPERATOR(GROUP_LIST),
    OPERATOR(GROUP_SHOW),
    OPERATOR(ORDER_SEND),
    OPERATOR(ORDER_SHOW),
    OPERATOR(MEMBER_REAUTHENTICATE),
    OPERATOR(MEMBER_MOVE),
    OPERATOR(ORDER_LIST),
    OPERATOR(GROUP_ROTATE),
    OPERATOR(GROUP_SET),
    OPERATOR(GROUP_DELETE),
    OPERATOR(SETTINGS),
    OPERATOR(CLOCK),
    OPERATOR(REVOCATION_SET),
    OPERATOR(REVOCATION_SHOW),
    OPERATOR(MEMBER_CONFIRM),
    OPERATOR(GROUP_RELEASE),
};

enum result dispatch_parse(struct bytes packet, struct arena *arena, Groupseal__Secenv__ToSecenv **out,
                           struct reason *why)
{
    if (packet.length == 0 || packet.length > PACKET_LIMIT) {
        return result_fail(why, RESULT_INVALID, "a packet of %zu bytes", packet.length);
    }
    Groupseal__Secenv__ToSecenv *request =
        groupseal__secenv__to_secenv__unpack(arena_allocator(arena), packet.length, packet.data);
    if (request == NULL) {
        return result_fail(why, RESULT_INVALID, "a packet that is no request");
    }
    if (request->id == 0) {
        return result_fail(why, RESULT_INVALID, "a request without an id");
    }
    *out = request;
    return RESULT_OK;
}

enum result dispatch_check(const struct dispatch_state *state, enum store_profile profile,
                           const Groupseal__Secenv__ToSecenv *request, struct reason *why)
{
    size_t number = (size_t)request->request_case;
    if (number >= sizeof(table) / sizeof(table[0]) || table[number].sockets == 0) {
        return result_fail(why, RESULT_REFUSED, "request %zu is not known", number);
    }
    const struct row *row = &table[number];
    if ((row->sockets & BIT(state->socket)) == 0) {
        return result_fail(why, RESULT_REFUSED, "%s is not for this socket", row->name);
    }
    if ((row->profiles & BIT(profile)) == 0) {
        return result_fail(why, RESULT_REFUSED, "%s is not for this profile", row->name);
    }
    if (state->greeted == (request->request_case == REQUEST(HELLO))) {
        return result_fail(why, RESULT_REFUSED, "%s %s", row->name,
                           state->greeted ? "comes once" : "came before HELLO");
    }
    if (request->id <= state->last_id) {
        return result_fail(why, RESULT_REFUSED, "the id of %s does not rise", row->name);
    }
    return RESULT_OK;
}
