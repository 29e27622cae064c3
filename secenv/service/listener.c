/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

static enum result address_fill(const char *path, struct sockaddr_un *address, struct reason *why)
{
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(address->sun_path)) {
        return result_fail(why, RESULT_INVALID, "socket path %.60s... is longer than %zu bytes", path,
                           sizeof(address->sun_path) - 1);
    }
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length + 1);
    return RESULT_OK;
}

/* True where somebody listens there. */
static bool in_use(const struct sockaddr_un *address)
{
    int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return true;
    }
    int connected = connect(probe, (const struct sockaddr *)address, sizeof(*address));
    bool refused = connected != 0 && errno == ECONNREFUSED;
    (void)close(probe);
    return !refused;
}

static enum result stale_remove(const struct sockaddr_un *address, struct reason *why)
{
    const char *path = address->sun_path;
    struct stat status;
    if (lstat(path, &status) != 0) {
        return errno == ENOENT ? RESULT_OK
                               : result_fail(why, RESULT_INVALID, "%s: %s", path, strerror(errno));
    }
    if (!S_ISSOCK(status.st_mode)) {
        return result_fail(why, RESULT_EXISTS, "%s exists and is no socket: remove it or choose another path",
                           path);
    }
    if (in_use(address)) {
        return result_fail(why, RESULT_EXISTS, "another process listens on %s", path);
    }
    if (unlink(path) != 0) {
        return result_fail(why, RESULT_INVALID, "%s: %s", path, strerror(errno));
    }
    return RESULT_OK;
}

static enum result access_set(const struct listener *listener, struct reason *why)
{
    const char *path = listener->path;
    bool others = listener->socket == SOCKET_AUDIT || listener->has_group ||
                  (listener->socket == SOCKET_OWNER && listener->owner_uid != geteuid());
    if (listener->has_group && chown(path, (uid_t)-1, listener->group) != 0) {
        return result_fail(why, RESULT_INVALID,
                           "%s: cannot be given to group %lu (is this user a member?): %s", path,
                           (unsigned long)listener->group, strerror(errno));
    }
    if (listener->socket == SOCKET_OWNER && geteuid() == 0 && listener->owner_uid != 0 &&
        chown(path, listener->owner_uid, (gid_t)-1) != 0) {
        return result_fail(why, RESULT_INVALID, "%s: cannot be given to user %lu: %s", path,
                           (unsigned long)listener->owner_uid, strerror(errno));
    }
    if (chmod(path, others ? 0660 : 0600) != 0) {
        return result_fail(why, RESULT_INVALID, "%s: %s", path, strerror(errno));
    }
    return RESULT_OK;
}

enum result listener_open(struct listener *listener, struct reason *why)
{
    struct sockaddr_un address;
    listener->fd = -1;
    GUARD(address_fill(listener->path, &address, why));
    GUARD(stale_remove(&address, why));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return result_fail(why, RESULT_INVALID, "%s: %s", listener->path, strerror(error));
    }
    listener->fd = fd;
    /* Nobody can connect before listen(): the rights are set by then. */
    enum result result = access_set(listener, why);
    if (result == RESULT_OK && listen(fd, BACKLOG) != 0) {
        result = result_fail(why, RESULT_INVALID, "%s: %s", listener->path, strerror(errno));
    }
    if (result != RESULT_OK) {
        listener_close(listener);
    }
    return result;
}

void listener_close(struct listener *listener)
{
    if (listener->fd >= 0) {
        (void)unlink(listener->path);
        (void)close(listener->fd);
        listener->fd = -1;
    }
}

/* The peer's group and supplementary groups, as the kernel noted them when it connected. */
static bool peer_in_group(int fd, const struct ucred *peer, gid_t group)
{
    if (peer->gid == group) {
        return true;
    }
    socklen_t size = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE || size == 0) {
        return false; /* none, or a kernel that cannot tell */
    }
    gid_t *groups = malloc(size);
    bool found = false;
    if (groups != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
        for (size_t i = 0; i < size / sizeof(*groups); i++) {
            found = found || groups[i] == group;
        }
    }
    free(groups);
    return found;
}

static bool peer_allowed(const struct listener *listener, int fd, const struct ucred *peer)
{
    switch (listener->socket) {
    case SOCKET_OWNER:
        return peer->uid == listener->owner_uid;
    case SOCKET_OPERATOR:
        return peer->uid == 0 || peer->uid == geteuid() ||
               (listener->has_group && peer_in_group(fd, peer, listener->group));
    case SOCKET_AUDIT:
        return true;
    }
    return false;
}

enum result listener_accept(const struct listener *listener, int *fd, struct reason *why)
{
    int accepted = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted < 0) {
        return RESULT_NOT_READY;
    }
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        (void)close(accepted);
        return result_fail(why, RESULT_REFUSED, "%s: a client without credentials", listener->path);
    }
    if (!peer_allowed(listener, accepted, &peer)) {
        (void)close(accepted);
        return result_fail(why, RESULT_REFUSED, "%s: user %lu (process %ld) may not use this socket",
                           listener->path, (unsigned long)peer.uid, (long)peer.pid);
    }
    *fd = accepted;
    return RESULT_OK;
}
