/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_EVENT_H
#define GROUPSEAL_SECENV_MEMBER_EVENT_H

#include "secenv/log.h"
#include "secenv/member/membership.h"

/* Events to the owner's connection: one function each. Everything is copied. */

/* `*token` receives a fresh one. To the authority. */
enum result event_send(struct identity_state *identity, const Groupseal__Envelope__EndToEnd *object,
                       struct arena *arena, uint64_t *token) MUST_USE;

struct publication {
    const char *site;
    Groupseal__Secenv__TopicKind kind;
    const char *sender; /* "" where the topic has none */
    uint32_t row;
    uint32_t column;
    bool retained;
    bool passing; /* it waits for nobody who is away */
    bool early;   /* emit_early */
    struct bytes payload;
};
enum result event_publish(const struct membership *membership,
                          const struct publication *publication) MUST_USE;
/* On a topic of a group that the identity is not in any more. */
enum result event_publish_of(const struct identity_state *identity, const char *group,
                             const struct publication *publication) MUST_USE;

enum result event_joined(const struct membership *membership) MUST_USE;
enum result event_departed(const struct identity_state *identity, const char *group,
                           const char *reason) MUST_USE;
enum result event_resubscribe(const struct membership *membership) MUST_USE;
enum result event_command(const struct membership *membership, const uint8_t id[COMMAND_ID_SIZE],
                          struct bytes body, uint64_t remaining_ms, const char *commander) MUST_USE;
enum result event_message(const struct membership *membership, const char *sender, struct bytes body,
                          bool proven) MUST_USE;

struct roster_event {
    const char *group;
    const char *site;
    char **members;
    size_t count;
    char **left;
    size_t left_count;
    bool deleted;
    uint32_t page;
    uint32_t pages; /* 0: a change */
};
enum result event_roster(const struct identity_state *identity, const struct roster_event *told) MUST_USE;

/* Of a command of this MN-CSE's own. */
enum result event_report(const struct identity_state *identity,
                         Groupseal__Secenv__OrderReport *report) MUST_USE;

/* To the owner's log, and to secenv's own. */
enum result event_notice(const struct identity_state *identity, Groupseal__Secenv__Severity severity,
                         const char *format, ...) __attribute__((format(printf, 3, 4))) MUST_USE;
/* A warning of what `originator` (the name that was proven best) is the cause of: in moderation. */
enum result event_refused(const struct identity_state *identity, const char *originator, const char *format,
                          ...) __attribute__((format(printf, 3, 4))) MUST_USE;
/* The same, as a line in secenv's own log alone. */
void log_refused(const struct identity_state *identity, enum log_level level, const char *originator,
                 const char *text);

#endif
