/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_LISTENER_H
#define GROUPSEAL_SECENV_SERVICE_LISTENER_H

#include "secenv/engine.h"

#include <sys/types.h>

/* A listening UNIX socket, and who may connect to it besides having the rights to open it. */
struct listener {
    int fd; /* -1: none */
    enum socket_kind socket;
    char path[108];
    uid_t owner_uid; /* owner socket: the only user */
    bool has_group;  /* operator socket: members of this group, besides root and our own user */
    gid_t group;
};

#define LISTENER_NONE ((struct listener){.fd = -1})

/*
 * Binds and listens; `listener` has everything but fd. A socket file that nobody listens on is replaced; one
 * that is in use, or a path that is too long or is no socket, is an error. Mode 0600, or 0660 where another
 * user or a group must get in (the group: `group`, or the directory's).
 */
enum result listener_open(struct listener *listener, struct reason *why) MUST_USE;
void listener_close(struct listener *listener); /* removes the socket file */

/* Accepts one connection that passes the check of the peer's credentials. RESULT_NOT_READY: there is none;
 * RESULT_REFUSED: it was closed at once, `why` says who it was. */
enum result listener_accept(const struct listener *listener, int *fd, struct reason *why) MUST_USE;

#endif
