/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/client/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OWNER_FD 3
#define OWNER_FD_TEXT "3"
#define END_STEPS 500
#define KILLED_STEPS 100
#define END_STEP_NS 10000000L /* 10 ms */

/* "secenv" in the folder of this program, else the bare name for PATH. */
static const char *program_beside(char *path, size_t size)
{
    static const char name[] = "secenv";

    ssize_t length = readlink("/proc/self/exe", path, size);
    if (length <= 0 || (size_t)length >= size) {
        return name;
    }
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash + 1 - path) + sizeof(name) > size) {
        return name;
    }
    memcpy(slash + 1, name, sizeof(name));
    return access(path, X_OK) == 0 ? path : name;
}

/* The child's descriptors: 0 and 1 are /dev/null, 2 is the owner's (secenv's log), 3 is the socket. */
static int actions_fill(posix_spawn_file_actions_t *actions, int socket_fd)
{
    /* The socket first: where the owner has no standard input, it may have that number. dup2 of 3 onto itself
     * takes close-on-exec away (glibc 2.29 and later). */
    int error = posix_spawn_file_actions_adddup2(actions, socket_fd, OWNER_FD);
    if (error == 0) {
        error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_addclosefrom_np(actions, OWNER_FD + 1);
    }
    return error;
}

/* No blocked and no ignored signal is inherited: a broker's helper thread blocks them all. */
static int attributes_fill(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0) {
        error = posix_spawnattr_setsigdefault(attributes, &all);
    }
    if (error == 0) {
        error = posix_spawnattr_setflags(attributes,
                                         POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    }
    return error;
}

static int spawn(const char *program, char *const arguments[], int socket_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        return error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    error = actions_fill(&actions, socket_fd);
    if (error == 0) {
        error = attributes_fill(&attributes);
    }
    if (error == 0) {
        error = posix_spawnp(pid, program, &actions, &attributes, arguments, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

bool embedded_start(const struct secenv_client_settings *settings, struct embedded *out, char *why,
                    size_t why_size)
{
    if (settings->store == NULL) {
        snprintf(why, why_size, "no secenv socket and no store is configured: set one of them");
        return false;
    }
    char path[PATH_MAX];
    const char *program = settings->program != NULL ? settings->program : program_beside(path, sizeof(path));

    /* posix_spawn takes the strings as not const, and does not write to them. */
    const char *arguments[12] = {"secenv", "run", "--store", settings->store, "--owner-fd", OWNER_FD_TEXT};
    size_t count = 6;
    if (settings->root_key != NULL) {
        arguments[count++] = "--root-key";
        arguments[count++] = settings->root_key;
    }
    if (settings->audit_socket != NULL) {
        arguments[count++] = "--audit-socket";
        arguments[count++] = settings->audit_socket;
    }

    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        snprintf(why, why_size, "no socket for secenv: %s", strerror(errno));
        return false;
    }
    int error = spawn(program, (char *const *)(uintptr_t)arguments, pair[1], &out->pid);
    close(pair[1]);
    if (error != 0) {
        close(pair[0]);
        snprintf(why, why_size, "cannot start %s: %s; is it installed, and may this user run it?", program,
                 strerror(error));
        return false;
    }
    out->fd = pair[0];
    return true;
}

/* Waits so many steps; true: it has ended. */
static bool ended_within(pid_t pid, int steps)
{
    const struct timespec step = {.tv_nsec = END_STEP_NS};

    for (int i = 0; i < steps; i++) {
        pid_t ended = waitpid(pid, NULL, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR)) {
            return true;
        }
        nanosleep(&step, NULL);
    }
    return false;
}

void embedded_wait(pid_t pid)
{
    if (!ended_within(pid, END_STEPS)) {
        kill(pid, SIGKILL);
        (void)ended_within(pid, KILLED_STEPS); /* one that waits for a dead disk does not even die */
    }
}
