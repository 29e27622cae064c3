/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/keeper.h"

#include "plugin/broker/compat.h"
#include "plugin/broker/state_file.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNREACHED "plugin_opt_state_file %s does not reach the disk: %s"

enum errand {
    ERRAND_NONE,
    ERRAND_SYNC,
    ERRAND_SETTLE,
    ERRAND_END,
};

struct keeper {
    struct agent *agent;
    struct state_file *file;
    char *path;
    bool missed; /* a line found no room: the file is to be written anew */
    bool unsynced;
    uint64_t unsynced_ms;
    uint64_t again_ms; /* when the file is to be written anew; 0: when it has grown */
    bool alarmed;      /* the disk has failed, and that was said */

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    enum errand errand; /* what the thread does, or is to do */
    enum errand done;   /* what it has done since it was last looked at, with `error` */
    int error;
};

/* ---- the thread ---- */

static int errand_do(const struct keeper *keeper, enum errand errand)
{
    return errand == ERRAND_SYNC ? state_file_sync(keeper->file) : state_file_settle(keeper->file);
}

static void *keeper_run(void *argument)
{
    struct keeper *keeper = argument;
    pthread_mutex_lock(&keeper->mutex);
    while (keeper->errand != ERRAND_END) {
        enum errand errand = keeper->errand;
        if (errand == ERRAND_NONE) {
            pthread_cond_wait(&keeper->asked, &keeper->mutex);
            continue;
        }
        pthread_mutex_unlock(&keeper->mutex);
        int error = errand_do(keeper, errand);
        pthread_mutex_lock(&keeper->mutex);
        keeper->done = errand;
        keeper->error = error;
        if (keeper->errand != ERRAND_END) {
            keeper->errand = ERRAND_NONE;
        }
    }
    pthread_mutex_unlock(&keeper->mutex);
    return NULL;
}

/* Signals are the broker's. */
static bool thread_start(struct keeper *keeper)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return false;
    }
    keeper->running = pthread_create(&keeper->thread, NULL, keeper_run, keeper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return keeper->running;
}

static void errand_ask(struct keeper *keeper, enum errand errand)
{
    pthread_mutex_lock(&keeper->mutex);
    keeper->errand = errand;
    pthread_cond_signal(&keeper->asked);
    pthread_mutex_unlock(&keeper->mutex);
}

/* What was done, once; `busy`: it is about something still. */
static enum errand errand_look(struct keeper *keeper, bool *busy, int *error)
{
    pthread_mutex_lock(&keeper->mutex);
    enum errand done = keeper->done;
    keeper->done = ERRAND_NONE;
    *busy = keeper->errand != ERRAND_NONE;
    *error = keeper->error;
    pthread_mutex_unlock(&keeper->mutex);
    return done;
}

/* ---- writing ---- */

static void failure_tell(struct keeper *keeper, const char *why, uint64_t now_ms)
{
    char line[700];
    keeper->again_ms = now_ms + KEEPER_AGAIN_MS;
    if (!keeper->alarmed) {
        keeper->alarmed = true;
        snprintf(line, sizeof(line),
                 "%s: until that is mended a power cut or a restart may take back what AEs registered", why);
        compat_log(AGENT_ALARM, line);
    }
}

static void disk_failed(struct keeper *keeper, int error, uint64_t now_ms)
{
    char why[512];
    snprintf(why, sizeof(why), UNREACHED, keeper->path, strerror(error));
    failure_tell(keeper, why, now_ms);
}

/* All that the agent has is in a new file, which is not in its place yet. */
static bool keeper_rewrite(struct keeper *keeper, char *why, size_t why_size)
{
    if (!state_file_begin(keeper->file, why, why_size)) {
        return false;
    }
    if (agent_keep_all(keeper->agent)) {
        keeper->missed = false;
        state_file_begun(keeper->file);
        return true;
    }
    state_file_abandon(keeper->file);
    snprintf(why, why_size, "plugin_opt_state_file %s cannot be written anew: is the disk full?",
             keeper->path);
    errno = ENOSPC;
    return false;
}

bool keeper_keep(struct keeper *keeper, const char *line, size_t length)
{
    if (keeper == NULL) {
        return true;
    }
    keeper->unsynced = true;
    bool kept = state_file_append(keeper->file, line, length);
    keeper->missed = keeper->missed || !kept;
    return kept;
}

/* False: it is about something still. */
static bool errand_over(struct keeper *keeper, uint64_t now_ms)
{
    bool busy = false;
    int error = 0;
    enum errand done = errand_look(keeper, &busy, &error);
    if (done == ERRAND_SETTLE && error == 0) {
        state_file_commit(keeper->file);
        keeper->again_ms = 0;
        keeper->unsynced = true;
    } else if (done == ERRAND_SETTLE) {
        state_file_abandon(keeper->file);
    } else if (done == ERRAND_SYNC && error == 0 && keeper->again_ms == 0) {
        keeper->alarmed = false;
    }
    if (error != 0 && done != ERRAND_NONE) {
        disk_failed(keeper, error, now_ms);
    }
    return !busy;
}

void keeper_turn(struct keeper *keeper, uint64_t now_ms)
{
    char why[512];
    if (keeper == NULL || !errand_over(keeper, now_ms)) {
        return;
    }
    if (keeper->missed && keeper->again_ms == 0) {
        keeper->again_ms = now_ms + KEEPER_AGAIN_MS;
    }
    bool due = keeper->again_ms == 0 ? state_file_grown(keeper->file) : now_ms >= keeper->again_ms;
    if (due) {
        if (keeper_rewrite(keeper, why, sizeof(why))) {
            errand_ask(keeper, ERRAND_SETTLE);
        } else {
            failure_tell(keeper, why, now_ms);
        }
        return;
    }
    if (!keeper->unsynced) {
        keeper->unsynced_ms = now_ms;
    } else if (now_ms - keeper->unsynced_ms >= KEEPER_SYNC_MS) {
        keeper->unsynced = false;
        keeper->unsynced_ms = now_ms;
        errand_ask(keeper, ERRAND_SYNC);
    }
}

/* ---- start and end ---- */

struct restoring {
    struct agent *agent;
    unsigned refused;
};

static void line_restore(void *context, const char *line, size_t length)
{
    struct restoring *restoring = context;
    restoring->refused += !agent_restore(restoring->agent, line, length);
}

static void found_tell(const struct keeper *keeper, const struct state_file_found *found, unsigned refused)
{
    char line[700];
    if (found->lines > 0) {
        snprintf(line, sizeof(line), "%s has %zu lines of registrations and groups", keeper->path,
                 found->lines);
        compat_log(AGENT_INFO, line);
    }
    if (found->damaged) {
        snprintf(line, sizeof(line),
                 "%s is damaged: %zu bytes say nothing and are passed over; %s. AEs register again when they "
                 "connect, groups of oneM2M are to be looked at",
                 keeper->path, found->lost,
                 found->before ? "what the file before it, .old, says was taken first"
                               : "there is no file before it, .old, to take instead");
        compat_log(AGENT_ALARM, line);
    } else if (found->lost > 0) {
        snprintf(
            line, sizeof(line),
            "%s was cut short, as a power cut leaves it: %zu bytes at its end say nothing and are passed "
            "over; what was done in the last second before it may be missing",
            keeper->path, found->lost);
        compat_log(AGENT_WARNING, line);
    }
    if (refused > 0) {
        snprintf(line, sizeof(line), "%u lines of %s do not fit to those before them and are passed over",
                 refused, keeper->path);
        compat_log(AGENT_WARNING, line);
    }
}

/* A disk that is full, or failing, stops no broker. */
static bool disk_is_ill(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EIO || error == EROFS;
}

static void keeper_free(struct keeper *keeper)
{
    state_file_close(keeper->file);
    pthread_cond_destroy(&keeper->asked);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper->path);
    free(keeper);
}

struct keeper *keeper_new(const char *path, struct agent *agent, char *why, size_t why_size)
{
    struct restoring restoring = {agent, 0};
    struct state_file_found found;
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL || (keeper->path = strdup(path)) == NULL) {
        snprintf(why, why_size, "out of memory");
        free(keeper);
        return NULL;
    }
    keeper->agent = agent;
    pthread_mutex_init(&keeper->mutex, NULL);
    pthread_cond_init(&keeper->asked, NULL);
    keeper->file = state_file_open(path, line_restore, &restoring, &found, why, why_size);
    if (keeper->file == NULL) {
        keeper_free(keeper);
        return NULL;
    }
    found_tell(keeper, &found, restoring.refused);
    return keeper;
}

/* The file anew and in its place; 0, or errno and `why`. */
static int keeper_settle(struct keeper *keeper, char *why, size_t why_size)
{
    if (!keeper_rewrite(keeper, why, why_size)) {
        return errno;
    }
    int error = state_file_settle(keeper->file);
    if (error == 0) {
        state_file_commit(keeper->file);
        error = state_file_sync(keeper->file);
    } else {
        state_file_abandon(keeper->file);
    }
    snprintf(why, why_size, UNREACHED, keeper->path, strerror(error));
    return error;
}

bool keeper_start(struct keeper *keeper, uint64_t now_ms, char *why, size_t why_size)
{
    int error = keeper_settle(keeper, why, why_size);
    if (error != 0 && !disk_is_ill(error)) {
        return false;
    }
    if (error != 0) {
        failure_tell(keeper, why, now_ms);
    }
    if (!thread_start(keeper)) {
        snprintf(why, why_size, "there is no thread to be had for plugin_opt_state_file");
        return false;
    }
    return true;
}

void keeper_close(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    if (keeper->running) {
        errand_ask(keeper, ERRAND_END);
        pthread_join(keeper->thread, NULL);
    }
    if (keeper->done == ERRAND_SETTLE && keeper->error == 0) {
        state_file_commit(keeper->file);
    }
    int error = state_file_sync(keeper->file);
    if (error != 0) {
        disk_failed(keeper, error, 0);
    }
    keeper_free(keeper);
}
