/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/runner.h"

#include "agents/timer.h"
#include "onem2m/identifier.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILLED_STEPS 200u
#define KILLED_STEP_NS 5000000L /* 5 ms */

struct job {
    struct job *next;
    char group[65];
    uint8_t id[DEVICE_COMMAND_ID_SIZE];
    char commander[ONEM2M_ID_LIMIT + 1];
    uint64_t deadline_ms;
    size_t length;
    uint8_t body[];
};

struct runner {
    sd_event *loop;
    char *program;
    char *identity;
    char **environment;
    runner_finished *finished;
    void *context;
    struct job *first; /* runs, where pid is set */
    size_t count;
    struct timer timer; /* the time limit, or the next start */
    pid_t pid;
    bool timed_out;
    sd_event_source *child;
    sd_event_source *input;
    sd_event_source *output;
    int input_fd;
    int output_fd;
    size_t written;
    char line[DEVICE_DETAIL_LIMIT + 1]; /* the first line, as it grows */
    size_t line_length;
    bool line_ended;
};

/* ---- the first line of output ---- */

static void line_take(struct runner *runner, const char *text, size_t length)
{
    for (size_t i = 0; i < length && !runner->line_ended; i++) {
        if (text[i] == '\n' || text[i] == '\0') {
            runner->line_ended = true;
        } else if (runner->line_length < DEVICE_DETAIL_LIMIT) {
            runner->line[runner->line_length++] = text[i];
        }
    }
}

/* Reads what is there. False: the other end is closed. */
static bool output_read(struct runner *runner)
{
    char buffer[4096];
    for (;;) {
        ssize_t got = read(runner->output_fd, buffer, sizeof(buffer));
        if (got > 0) {
            line_take(runner, buffer, (size_t)got);
        } else {
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        }
    }
}

static void input_close(struct runner *runner)
{
    runner->input = sd_event_source_disable_unref(runner->input);
    if (runner->input_fd >= 0) {
        close(runner->input_fd);
        runner->input_fd = -1;
    }
}

static void output_close(struct runner *runner)
{
    runner->output = sd_event_source_disable_unref(runner->output);
    if (runner->output_fd >= 0) {
        close(runner->output_fd);
        runner->output_fd = -1;
    }
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source;
    (void)fd;
    (void)events;
    if (!output_read(userdata)) {
        output_close(userdata);
    }
    return 0;
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct runner *runner = userdata;
    const struct job *job = runner->first;
    (void)source;
    (void)events;
    ssize_t sent = write(fd, job->body + runner->written, job->length - runner->written);
    if (sent > 0) {
        runner->written += (size_t)sent;
    }
    bool again = sent >= 0 || errno == EAGAIN || errno == EINTR;
    if (runner->written == job->length || !again) { /* a program need not read it */
        input_close(runner);
    }
    return 0;
}

/* ---- jobs ---- */

/* Kills the program that runs, which has not been waited for, with all in its process group. It may have left
 * that for another. */
static void program_kill(const struct runner *runner)
{
    kill(-runner->pid, SIGKILL);
    kill(runner->pid, SIGKILL);
}

static void job_start_soon(struct runner *runner)
{
    if (runner->first != NULL && runner->pid == 0) {
        timer_start(&runner->timer, 0);
    }
}

/* The first job has this result; the next one's turn comes. */
static void job_end(struct runner *runner, bool done, const char *detail)
{
    struct job *job = runner->first;
    runner->first = job->next;
    runner->count--;
    job_start_soon(runner);
    runner->finished(runner->context, job->group, job->id, done, detail);
    explicit_bzero(job->body, job->length);
    free(job);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
    struct runner *runner = userdata;
    char detail[DEVICE_DETAIL_LIMIT + 1];
    (void)source;

    kill(-runner->pid, SIGKILL); /* what it left behind in its process group */
    runner->child = sd_event_source_disable_unref(runner->child);
    runner->pid = 0;
    timer_stop(&runner->timer);
    if (runner->output_fd >= 0) {
        (void)output_read(runner);
    }
    input_close(runner);
    output_close(runner);
    runner->line[runner->line_length] = '\0';

    bool done = info->si_code == CLD_EXITED && info->si_status == 0 && !runner->timed_out;
    if (runner->timed_out) {
        snprintf(detail, sizeof(detail), "timed out");
    } else if (done || runner->line_length > 0) {
        snprintf(detail, sizeof(detail), "%s", runner->line);
    } else if (info->si_code == CLD_EXITED) {
        snprintf(detail, sizeof(detail), "exit status %d", info->si_status);
    } else {
        snprintf(detail, sizeof(detail), "killed by signal %d", info->si_status);
    }
    job_end(runner, done, detail);
    return 0;
}

/* ---- starting a program ---- */

struct pipes {
    int input[2];
    int output[2];
};

static void pipes_close(struct pipes *pipes)
{
    int *ends[] = {pipes->input, pipes->output};
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 2; j++) {
            if (ends[i][j] >= 0) {
                close(ends[i][j]);
                ends[i][j] = -1;
            }
        }
    }
}

/* Only our ends do not block: the program's are as programs expect them. */
static bool pipes_open(struct pipes *pipes)
{
    *pipes = (struct pipes){{-1, -1}, {-1, -1}};
    if (pipe2(pipes->input, O_CLOEXEC) != 0 || pipe2(pipes->output, O_CLOEXEC) != 0 ||
        fcntl(pipes->input[1], F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(pipes->output[0], F_SETFL, O_NONBLOCK) != 0) {
        pipes_close(pipes);
        return false;
    }
    return true;
}

static int actions_fill(posix_spawn_file_actions_t *actions, const struct pipes *pipes)
{
    int error = posix_spawn_file_actions_adddup2(actions, pipes->input[0], STDIN_FILENO);
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(actions, pipes->output[1], STDOUT_FILENO);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    }
    return error;
}

/* Default signals, nothing blocked, a process group of its own. */
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
        error = posix_spawnattr_setpgroup(attributes, 0);
    }
    if (error == 0) {
        error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                         POSIX_SPAWN_SETPGROUP);
    }
    return error;
}

static int spawn_with(struct runner *runner, const struct pipes *pipes, char *const environment[])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *arguments[] = {runner->program, NULL};

    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        return error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    error = actions_fill(&actions, pipes);
    if (error == 0) {
        error = attributes_fill(&attributes);
    }
    if (error == 0) {
        error = posix_spawn(&runner->pid, runner->program, &actions, &attributes, arguments, environment);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        runner->pid = 0;
    }
    return error;
}

#define OWN_VARIABLES 4u

/* The environment of the program: what we had at the start, and ours first. */
static int job_spawn(struct runner *runner, const struct job *job, const struct pipes *pipes)
{
    char id[2 * DEVICE_COMMAND_ID_SIZE + 1];
    char *own[OWN_VARIABLES] = {NULL};
    size_t count = 0;
    while (runner->environment[count] != NULL) {
        count++;
    }
    for (size_t i = 0; i < DEVICE_COMMAND_ID_SIZE; i++) {
        snprintf(id + 2 * i, 3, "%02x", job->id[i]);
    }
    char **environment = calloc(count + OWN_VARIABLES + 1, sizeof(*environment));
    int error = ENOMEM;
    if (environment != NULL && asprintf(&own[0], "GROUPSEAL_GROUP=%s", job->group) >= 0 &&
        asprintf(&own[1], "GROUPSEAL_COMMAND_ID=%s", id) >= 0 &&
        asprintf(&own[2], "GROUPSEAL_COMMANDER=%s", job->commander) >= 0 &&
        asprintf(&own[3], "GROUPSEAL_IDENTITY=%s", runner->identity) >= 0) {
        memcpy(environment, own, sizeof(own));
        memcpy(environment + OWN_VARIABLES, runner->environment, count * sizeof(*environment));
        error = spawn_with(runner, pipes, environment);
    }
    for (size_t i = 0; i < OWN_VARIABLES; i++) {
        free(own[i]);
    }
    free(environment);
    return error;
}

/* Watches the program that runs now; false: it cannot be watched. */
static bool job_watch(struct runner *runner, struct pipes *pipes)
{
    runner->input_fd = pipes->input[1];
    runner->output_fd = pipes->output[0];
    pipes->input[1] = -1;
    pipes->output[0] = -1;
    return sd_event_add_child(runner->loop, &runner->child, runner->pid, WEXITED, on_child, runner) >= 0 &&
           sd_event_add_io(runner->loop, &runner->input, runner->input_fd, EPOLLOUT, on_input, runner) >= 0 &&
           sd_event_add_io(runner->loop, &runner->output, runner->output_fd, EPOLLIN, on_output, runner) >= 0;
}

/* Waits for a killed program, not for ever: one that waits for a dead disk does not even die. */
static void killed_wait(pid_t pid)
{
    const struct timespec step = {.tv_nsec = KILLED_STEP_NS};
    for (unsigned i = 0; i < KILLED_STEPS; i++) {
        pid_t ended = waitpid(pid, NULL, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR)) {
            return;
        }
        nanosleep(&step, NULL);
    }
}

/* Kills the program that runs, and waits for it. */
static void job_kill(struct runner *runner)
{
    runner->child = sd_event_source_disable_unref(runner->child);
    input_close(runner);
    output_close(runner);
    if (runner->pid > 0) {
        program_kill(runner);
        killed_wait(runner->pid);
        runner->pid = 0;
    }
}

static void job_run(struct runner *runner)
{
    struct pipes pipes;
    struct job *job = runner->first;
    char detail[DEVICE_DETAIL_LIMIT + 1];

    runner->written = 0;
    runner->line_length = 0;
    runner->line_ended = false;
    runner->timed_out = false;
    int error = pipes_open(&pipes) ? job_spawn(runner, job, &pipes) : errno;
    bool watched = error == 0 && job_watch(runner, &pipes);
    pipes_close(&pipes);
    if (watched) {
        uint64_t now = monotonic_ms();
        timer_start(&runner->timer, job->deadline_ms > now ? job->deadline_ms - now : 0);
        return;
    }
    job_kill(runner);
    snprintf(detail, sizeof(detail), "cannot run the command program: %s",
             error != 0 ? strerror(error) : "out of memory");
    job_end(runner, false, detail);
}

static void timer_is_due(void *context)
{
    struct runner *runner = context;
    if (runner->pid > 0) {
        runner->timed_out = true;
        program_kill(runner);
    } else if (runner->first != NULL && runner->first->deadline_ms <= monotonic_ms()) {
        job_end(runner, false, "expired before its turn");
    } else if (runner->first != NULL) {
        job_run(runner);
    }
}

bool runner_add(struct runner *runner, const struct device_command *command)
{
    struct job *job = runner->count < RUNNER_QUEUE_LIMIT ? calloc(1, sizeof(*job) + command->length) : NULL;
    if (job == NULL) {
        return false;
    }
    snprintf(job->group, sizeof(job->group), "%s", command->group);
    snprintf(job->commander, sizeof(job->commander), "%s", command->commander);
    memcpy(job->id, command->id, sizeof(job->id));
    job->deadline_ms = monotonic_ms() + command->remaining_ms;
    job->length = command->length;
    if (command->length > 0) {
        memcpy(job->body, command->body, command->length);
    }
    struct job **end = &runner->first;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = job;
    runner->count++;
    job_start_soon(runner);
    return true;
}

/* ---- making and ending ---- */

static char **environment_copy(void)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(environ[i]);
        if (copy[i] == NULL) {
            while (i > 0) {
                free(copy[--i]);
            }
            free(copy);
            return NULL;
        }
    }
    return copy;
}

struct runner *runner_new(sd_event *loop, const char *program, const char *identity,
                          runner_finished *finished, void *context)
{
    struct runner *runner = calloc(1, sizeof(*runner));
    if (runner == NULL) {
        return NULL;
    }
    runner->loop = loop;
    runner->finished = finished;
    runner->context = context;
    runner->input_fd = -1;
    runner->output_fd = -1;
    runner->program = strdup(program);
    runner->identity = strdup(identity);
    runner->environment = environment_copy();
    if (runner->program == NULL || runner->identity == NULL || runner->environment == NULL ||
        timer_open(&runner->timer, loop, timer_is_due, runner) < 0) {
        runner_free(runner);
        return NULL;
    }
    return runner;
}

void runner_free(struct runner *runner)
{
    if (runner == NULL) {
        return;
    }
    job_kill(runner);
    timer_close(&runner->timer);
    while (runner->first != NULL) {
        struct job *next = runner->first->next;
        explicit_bzero(runner->first->body, runner->first->length);
        free(runner->first);
        runner->first = next;
    }
    for (size_t i = 0; runner->environment != NULL && runner->environment[i] != NULL; i++) {
        free(runner->environment[i]);
    }
    free(runner->environment);
    free(runner->program);
    free(runner->identity);
    free(runner);
}
