/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/event.h"

#include "secenv/tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OWNER_CONNECTION 0u

static enum result event_emit_so(const struct identity_state *identity, Groupseal__Secenv__Event *event,
                                 bool early)
{
    event->identity = (char *)identity->identity.name;
    const struct engine_events *events = &identity->engine->setup.events;
    enum result result =
        (early ? events->emit_early : events->emit)(events->context, OWNER_CONNECTION, event);
    return result == RESULT_OK ? RESULT_OK : RESULT_INTERNAL; /* a failure of our own, whatever it is */
}

static enum result event_emit(const struct identity_state *identity, Groupseal__Secenv__Event *event)
{
    return event_emit_so(identity, event, false);
}

enum result event_send(struct identity_state *identity, const Groupseal__Envelope__EndToEnd *object,
                       struct arena *arena, uint64_t *token)
{
    struct bytes packed;
    GUARD(carriage_pack(object, arena, &packed));
    Groupseal__Secenv__Send send = GROUPSEAL__SECENV__SEND__INIT;
    send.token = ++identity->engine->next_token;
    send.to = identity->identity.authority;
    send.object = arena_field(packed);
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_SEND;
    event.send = &send;
    *token = send.token;
    return event_emit(identity, &event);
}

enum result event_publish(const struct membership *membership, const struct publication *publication)
{
    return event_publish_of(membership->identity, membership->group, publication);
}

enum result event_publish_of(const struct identity_state *identity, const char *group,
                             const struct publication *publication)
{
    Groupseal__Secenv__Publish publish = GROUPSEAL__SECENV__PUBLISH__INIT;
    publish.site = (char *)publication->site;
    publish.group = (char *)group;
    publish.kind = publication->kind;
    publish.sender = (char *)publication->sender;
    publish.row = publication->row;
    publish.column = publication->column;
    publish.retained = publication->retained;
    publish.passing = publication->passing;
    publish.payload = arena_field(publication->payload);
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_PUBLISH;
    event.publish = &publish;
    return event_emit_so(identity, &event, publication->early);
}

/* Where the lower blocks of the leaf's path lie, or will lie when the tree has grown. */
static size_t path_places(const struct membership *membership,
                          Groupseal__Secenv__TreePlace places[BLOCK_ROWS],
                          Groupseal__Secenv__TreePlace *list[BLOCK_ROWS])
{
    uint32_t count = tree_top_row(TREE_HEIGHT_MAX);
    for (uint32_t row = 0; row < count; row++) {
        struct tree_place place = tree_path(membership->leaf_index, TREE_HEIGHT_MAX, row);
        places[row] = (Groupseal__Secenv__TreePlace)GROUPSEAL__SECENV__TREE_PLACE__INIT;
        places[row].row = place.row;
        places[row].column = place.column;
        list[row] = &places[row];
    }
    return count;
}

enum result event_joined(const struct membership *membership)
{
    Groupseal__Secenv__TreePlace places[BLOCK_ROWS];
    Groupseal__Secenv__TreePlace *blocks[BLOCK_ROWS];
    char *sites[MEMBERSHIP_SITES_LIMIT];
    for (size_t i = 0; i < membership->site_count; i++) {
        sites[i] = (char *)membership->sites[i].site;
    }
    Groupseal__Secenv__Joined joined = GROUPSEAL__SECENV__JOINED__INIT;
    joined.group = (char *)membership->group;
    joined.sites = sites;
    joined.n_sites = membership->site_count;
    joined.leaf_index = membership->leaf_index;
    if (!identity_is_relay(membership->identity)) { /* an MN-CSE has its blocks from its own store */
        joined.n_blocks = path_places(membership, places, blocks);
        joined.blocks = blocks;
    }
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_JOINED;
    event.joined = &joined;
    return event_emit(membership->identity, &event);
}

enum result event_departed(const struct identity_state *identity, const char *group, const char *reason)
{
    Groupseal__Secenv__Departed departed = GROUPSEAL__SECENV__DEPARTED__INIT;
    departed.group = (char *)group;
    departed.reason = (char *)reason;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED;
    event.departed = &departed;
    return event_emit(identity, &event);
}

enum result event_resubscribe(const struct membership *membership)
{
    Groupseal__Secenv__Resubscribe resubscribe = GROUPSEAL__SECENV__RESUBSCRIBE__INIT;
    resubscribe.group = (char *)membership->group;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE;
    event.resubscribe = &resubscribe;
    return event_emit(membership->identity, &event);
}

enum result event_command(const struct membership *membership, const uint8_t id[COMMAND_ID_SIZE],
                          struct bytes body, uint64_t remaining_ms, const char *commander)
{
    Groupseal__Secenv__CommandEvent command = GROUPSEAL__SECENV__COMMAND_EVENT__INIT;
    command.group = (char *)membership->group;
    command.command_id = arena_field((struct bytes){id, COMMAND_ID_SIZE});
    command.body = arena_field(body);
    command.remaining_ms = remaining_ms;
    command.commander = (char *)commander;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND;
    event.command = &command;
    return event_emit(membership->identity, &event);
}

enum result event_message(const struct membership *membership, const char *sender, struct bytes body,
                          bool proven)
{
    Groupseal__Secenv__MessageEvent message = GROUPSEAL__SECENV__MESSAGE_EVENT__INIT;
    message.group = (char *)membership->group;
    message.sender = (char *)sender;
    message.body = arena_field(body);
    message.proven = proven;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_MESSAGE;
    event.message = &message;
    return event_emit(membership->identity, &event);
}

enum result event_roster(const struct identity_state *identity, const struct roster_event *told)
{
    Groupseal__Secenv__RosterEvent roster = GROUPSEAL__SECENV__ROSTER_EVENT__INIT;
    roster.group = (char *)told->group;
    roster.site = (char *)told->site;
    roster.members = told->members;
    roster.n_members = told->count;
    roster.left = told->left;
    roster.n_left = told->left_count;
    roster.deleted = told->deleted;
    roster.page = told->page;
    roster.pages = told->pages;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER;
    event.roster = &roster;
    return event_emit(identity, &event);
}

enum result event_report(const struct identity_state *identity, Groupseal__Secenv__OrderReport *report)
{
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_REPORT;
    event.report = report;
    return event_emit(identity, &event);
}

static enum log_level severity_level(Groupseal__Secenv__Severity severity)
{
    switch (severity) {
    case GROUPSEAL__SECENV__SEVERITY__ALARM:
        return LOG_LEVEL_ALARM;
    case GROUPSEAL__SECENV__SEVERITY__WARNING:
        return LOG_LEVEL_WARNING;
    default:
        return LOG_LEVEL_INFO;
    }
}

static enum result notice_tell(const struct identity_state *identity, Groupseal__Secenv__Severity severity,
                               char *text)
{
    log_line(severity_level(severity), "%s: %s", identity->identity.name, text);
    Groupseal__Secenv__Notice notice = GROUPSEAL__SECENV__NOTICE__INIT;
    notice.severity = severity;
    notice.text = text;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_NOTICE;
    event.notice = &notice;
    return event_emit(identity, &event);
}

enum result event_notice(const struct identity_state *identity, Groupseal__Secenv__Severity severity,
                         const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return notice_tell(identity, severity, text);
}

/* ---- in moderation ---- */

static bool moderated(const struct identity_state *identity, struct moderation *moderation,
                      const char *originator, char end[MODERATION_END_SIZE])
{
    return moderation_take(moderation, identity->identity.name, originator, engine_now_us(identity->engine),
                           end);
}

enum result event_refused(const struct identity_state *identity, const char *originator, const char *format,
                          ...)
{
    char text[512];
    char end[MODERATION_END_SIZE];
    if (!moderated(identity, &identity->engine->refusals, originator, end)) {
        return RESULT_OK;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text) - sizeof(end), format, arguments);
    va_end(arguments);
    size_t used = length < 0 ? 0 : strnlen(text, sizeof(text) - sizeof(end));
    (void)snprintf(text + used, sizeof(text) - used, "%s", end);
    return notice_tell(identity, GROUPSEAL__SECENV__SEVERITY__WARNING, text);
}

void log_refused(const struct identity_state *identity, enum log_level level, const char *originator,
                 const char *text)
{
    char end[MODERATION_END_SIZE];
    if (moderated(identity, &identity->engine->lines, originator, end)) {
        log_line(level, "%s: %s%s", identity->identity.name, text, end);
    }
}
