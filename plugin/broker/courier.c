/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/courier.h"

#include "plugin/broker/calls.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define WAKE_SIGNAL SIGURG
#define NUDGES 2u             /* the first may come before the broker waits */
#define WAKE_INTERVAL_MS 1    /* one signal is not enough for some builds of 2.1 */
#define IDLE_INTERVAL_MS 1000 /* a broker with no timer of its own ticks at least then */
#define BACKOFF_FIRST_MS 100u
#define BACKOFF_LAST_MS 5000u
#define SILENCE_LIMIT_MS 30000u /* a secenv that answers nothing for so long is taken for lost */

struct results {
    struct courier_result *first;
    struct courier_result **last;
    size_t count;
};

struct courier {
    pthread_t thread;
    pthread_t main_thread;
    struct sigaction old_action;
    int bell; /* eventfd: a request waits, or it is time to end */
    atomic_bool ending;
    atomic_bool results_wait;
    atomic_uint nudges; /* signals that are still to be sent, a millisecond apart */

    pthread_mutex_t mutex; /* over the four below */
    uint64_t connection;   /* number of the one that stands; 0: none */
    uint64_t announced;    /* number of the one that the main thread has been told of */
    struct calls requests;
    struct results results;
    pthread_cond_t result_came; /* for courier_await */

    /* the courier's own thread */
    char *texts[5]; /* what the settings point to */
    struct secenv_client_settings settings;
    struct secenv_client *client;
    uint64_t connections; /* so far */
    struct calls sent;    /* not answered */
    uint64_t retry_ms;    /* monotonic: when to open again */
    unsigned backoff_ms;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- queues ---- */

static void results_push(struct courier *courier, struct courier_result *result)
{
    pthread_mutex_lock(&courier->mutex);
    result->next = NULL;
    *courier->results.last = result;
    courier->results.last = &result->next;
    courier->results.count++;
    atomic_store(&courier->results_wait, true);
    pthread_cond_signal(&courier->result_came);
    pthread_mutex_unlock(&courier->mutex);
}

static size_t results_room(struct courier *courier)
{
    pthread_mutex_lock(&courier->mutex);
    size_t count = courier->results.count;
    pthread_mutex_unlock(&courier->mutex);
    return count < COURIER_RESULTS_LIMIT ? COURIER_RESULTS_LIMIT - count : 0;
}

/* Takes the message over. False, out of memory: the process can only go on without the result; the agent's
 * own timer ends the request. */
static bool result_add(struct courier *courier, enum courier_kind kind, uint64_t tag,
                       Groupseal__Secenv__FromSecenv *message, const char *why)
{
    struct courier_result *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        secenv_client_free(message);
        return false;
    }
    result->kind = kind;
    result->tag = tag;
    result->message = message;
    snprintf(result->why, sizeof(result->why), "%s", why);
    results_push(courier, result);
    return true;
}

void courier_result_free(struct courier_result *result)
{
    if (result == NULL) {
        return;
    }
    secenv_client_free(result->message);
    free(result);
}

bool courier_waiting(const struct courier *courier)
{
    return atomic_load(&courier->results_wait);
}

bool courier_await(struct courier *courier, uint64_t deadline_ms)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                      .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    int error = 0;
    pthread_mutex_lock(&courier->mutex);
    while (courier->results.first == NULL && error != ETIMEDOUT) {
        error = pthread_cond_timedwait(&courier->result_came, &courier->mutex, &deadline);
    }
    bool came = courier->results.first != NULL;
    pthread_mutex_unlock(&courier->mutex);
    return came;
}

struct courier_result *courier_next(struct courier *courier)
{
    pthread_mutex_lock(&courier->mutex);
    struct courier_result *result = courier->results.first;
    if (result != NULL) {
        courier->results.first = result->next;
        courier->results.count--;
        if (result->kind == COURIER_UP) {
            courier->announced = result->tag;
        }
    }
    if (courier->results.first == NULL) {
        courier->results.last = &courier->results.first;
        atomic_store(&courier->results_wait, false);
    }
    pthread_mutex_unlock(&courier->mutex);
    return result;
}

/* ---- requests, from the main thread ---- */

static void bell_ring(const struct courier *courier)
{
    uint64_t one = 1;
    while (write(courier->bell, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

static bool room_for(const struct calls *requests, size_t size, enum courier_rank rank)
{
    static const struct {
        size_t count;
        size_t bytes;
    } limits[] = {
        [COURIER_RANK_LOW] = {COURIER_REQUESTS_LIMIT - 2 * COURIER_RANK_ROOM,
                              COURIER_REQUESTS_BYTES_LIMIT / 2},
        [COURIER_RANK_MIDDLE] = {COURIER_REQUESTS_LIMIT - COURIER_RANK_ROOM, COURIER_REQUESTS_BYTES_LIMIT},
        [COURIER_RANK_HIGH] = {COURIER_REQUESTS_LIMIT, SIZE_MAX},
    };
    return requests->count < limits[rank].count && requests->bytes + size <= limits[rank].bytes;
}

bool courier_request(struct courier *courier, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
                     enum courier_rank rank)
{
    struct call *call = call_new(tag, request);
    if (call == NULL) {
        return false;
    }
    pthread_mutex_lock(&courier->mutex);
    /* What was meant for a connection before must not be the first that a new secenv hears. */
    bool taken = courier->connection != 0 && courier->announced == courier->connection &&
                 room_for(&courier->requests, call->size, rank);
    if (taken) {
        calls_push(&courier->requests, call);
    }
    pthread_mutex_unlock(&courier->mutex);
    if (!taken) {
        call_free(call);
        return false;
    }
    bell_ring(courier);
    return true;
}

/* ---- the courier's thread ---- */

/* A point in the upper half of the interval, so that many brokers do not come back together. */
static unsigned jittered(unsigned interval_ms)
{
    unsigned random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) {
        random = (unsigned)now_ms();
    }
    return interval_ms / 2 + random % (interval_ms / 2 + 1);
}

static void retry_later(struct courier *courier)
{
    courier->retry_ms = now_ms() + jittered(courier->backoff_ms);
    courier->backoff_ms =
        courier->backoff_ms * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : courier->backoff_ms * 2;
}

/* Every request that was taken gets its result, in order. */
static void calls_fail(struct courier *courier, struct calls *calls)
{
    struct call *call;
    while ((call = calls_pop(calls)) != NULL) {
        result_add(courier, COURIER_REPLY, call->tag, NULL, "");
        call_free(call);
    }
}

static void connection_lose(struct courier *courier, const char *why)
{
    struct calls unsent;

    pthread_mutex_lock(&courier->mutex);
    courier->connection = 0;
    unsent = courier->requests;
    if (unsent.first == NULL) {
        calls_init(&unsent);
    }
    calls_init(&courier->requests);
    pthread_mutex_unlock(&courier->mutex);
    secenv_client_close(courier->client); /* waits for an embedded secenv to end */
    courier->client = NULL;
    calls_fail(courier, &courier->sent);
    calls_fail(courier, &unsent);
    result_add(courier, COURIER_DOWN, 0, NULL, why);
    retry_later(courier);
}

static void connection_set(struct courier *courier, uint64_t number)
{
    pthread_mutex_lock(&courier->mutex);
    courier->connection = number;
    pthread_mutex_unlock(&courier->mutex);
}

static void connection_open(struct courier *courier)
{
    char why[256] = "";
    courier->client = secenv_client_open(&courier->settings, why, sizeof(why));
    if (courier->client == NULL) {
        if (results_room(courier) > 0) {
            result_add(courier, COURIER_DOWN, 0, NULL, why);
        }
        retry_later(courier);
        return;
    }
    uint64_t number = ++courier->connections;
    connection_set(courier, number); /* first: what the main thread says when it is told must be taken */
    if (!result_add(courier, COURIER_UP, number, NULL, "")) {
        connection_set(courier, 0);
        secenv_client_close(courier->client);
        courier->client = NULL;
        retry_later(courier);
    }
}

static struct call *request_take(struct courier *courier)
{
    pthread_mutex_lock(&courier->mutex);
    struct call *call = calls_pop(&courier->requests);
    pthread_mutex_unlock(&courier->mutex);
    return call;
}

static void request_put_back(struct courier *courier, struct call *call)
{
    pthread_mutex_lock(&courier->mutex);
    calls_put_back(&courier->requests, call);
    pthread_mutex_unlock(&courier->mutex);
}

/* Sends what waits; true where the socket is full and the rest has to wait. */
static bool requests_send(struct courier *courier)
{
    struct call *call;
    while (courier->client != NULL && (call = request_take(courier)) != NULL) {
        call->id = secenv_client_send(courier->client, call->request);
        if (call->id != 0) {
            groupseal__secenv__to_secenv__free_unpacked(call->request, NULL);
            call->request = NULL;
            call->sent_ms = now_ms();
            calls_push(&courier->sent, call);
        } else if (errno == EAGAIN) {
            request_put_back(courier, call);
            return true;
        } else {
            bool lost = errno != EMSGSIZE;
            result_add(courier, COURIER_REPLY, call->tag, NULL, "");
            call_free(call);
            if (lost) {
                connection_lose(courier, "its connection is closed");
            }
        }
    }
    return false;
}

/* Replies come in the order of the requests. */
static void reply_take(struct courier *courier, Groupseal__Secenv__FromSecenv *message)
{
    struct call *call = courier->sent.first;
    if (call == NULL || call->id != message->reply->id) {
        secenv_client_free(message);
        connection_lose(courier, "it answers what was not asked");
        return;
    }
    calls_pop(&courier->sent);
    result_add(courier, COURIER_REPLY, call->tag, message, "");
    call_free(call);
    courier->backoff_ms = BACKOFF_FIRST_MS; /* it works */
}

static void results_receive(struct courier *courier)
{
    size_t room = results_room(courier);
    for (size_t i = 0; courier->client != NULL && i < room; i++) {
        Groupseal__Secenv__FromSecenv *message = NULL;
        switch (secenv_client_receive(courier->client, &message)) {
        case SECENV_CLIENT_NOTHING:
            return;
        case SECENV_CLIENT_LOST:
            connection_lose(courier, "its connection is closed");
            return;
        case SECENV_CLIENT_MESSAGE:
            if (message->content_case == GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY) {
                reply_take(courier, message);
            } else {
                result_add(courier, COURIER_EVENT, 0, message, "");
            }
            break;
        }
    }
}

/* Waits for secenv, for the bell, or for the next signal to the main thread. */
static void courier_wait(struct courier *courier, bool socket_full)
{
    bool readable = results_room(courier) > 0;
    struct pollfd fds[2] = {{.fd = courier->bell, .events = POLLIN}, {.fd = -1}};
    bool soon = courier_waiting(courier) || atomic_load(&courier->nudges) > 0;
    int timeout = soon ? WAKE_INTERVAL_MS : IDLE_INTERVAL_MS;

    if (courier->client != NULL) {
        fds[1].fd = secenv_client_fd(courier->client);
        fds[1].events = (short)((readable ? POLLIN : 0) | (socket_full ? POLLOUT : 0));
        if (fds[1].events == 0) {
            fds[1].fd = -1;
        }
    } else {
        uint64_t now = now_ms();
        uint64_t left = courier->retry_ms > now ? courier->retry_ms - now : 0;
        timeout = left < (uint64_t)timeout ? (int)left : timeout;
    }
    if (poll(fds, 2, timeout) > 0 && (fds[0].revents & POLLIN) != 0) {
        uint64_t rung;
        while (read(courier->bell, &rung, sizeof(rung)) < 0 && errno == EINTR) {
        }
    }
}

static bool secenv_silent(const struct courier *courier)
{
    return courier->client != NULL && courier->sent.first != NULL &&
           now_ms() - courier->sent.first->sent_ms > SILENCE_LIMIT_MS;
}

static bool nudge_take(struct courier *courier)
{
    unsigned nudges = atomic_load(&courier->nudges);
    return nudges > 0 && atomic_compare_exchange_strong(&courier->nudges, &nudges, nudges - 1);
}

/* Descriptors of its own: where two threads have them in common, each read and write of the broker costs
 * more, 3 % of its time. What the broker had open before, its log for one, is not kept open here. */
static void descriptors_part(const struct courier *courier)
{
    unsigned bell = (unsigned)courier->bell;
    if (unshare(CLONE_FILES) != 0) {
        return; /* a sandbox that forbids it: dearer, that is all */
    }
    if (bell > STDERR_FILENO + 1) {
        close_range(STDERR_FILENO + 1, bell - 1, 0);
    }
    close_range(bell < STDERR_FILENO + 1 ? STDERR_FILENO + 1 : bell + 1, ~0U, 0);
}

static void *courier_run(void *argument)
{
    struct courier *courier = argument;
    uint64_t woken_ms = 0;

    descriptors_part(courier);

    while (!atomic_load(&courier->ending)) {
        if (courier->client == NULL && now_ms() >= courier->retry_ms) {
            connection_open(courier);
        }
        bool full = requests_send(courier);
        results_receive(courier);
        if (secenv_silent(courier)) {
            connection_lose(courier, "it has not answered for 30 seconds");
        }
        bool nudge = nudge_take(courier);
        if (nudge || courier_waiting(courier) || now_ms() - woken_ms >= IDLE_INTERVAL_MS) {
            woken_ms = now_ms();
            pthread_kill(courier->main_thread, WAKE_SIGNAL);
        }
        courier_wait(courier, full);
    }
    secenv_client_close(courier->client);
    courier->client = NULL;
    return NULL;
}

/* ---- life ---- */

static void wake_handler(int number)
{
    (void)number; /* that it ends the broker's wait is all */
}

static bool wake_install(struct courier *courier)
{
    struct sigaction action = {.sa_handler = wake_handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(WAKE_SIGNAL, &action, &courier->old_action) == 0;
}

/* Signals are the broker's: none is taken by the courier's thread. */
static bool thread_start(struct courier *courier)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return false;
    }
    bool started = pthread_create(&courier->thread, NULL, courier_run, courier) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static const char *text_copy(struct courier *courier, size_t at, const char *text, bool *copied)
{
    if (text == NULL) {
        return NULL;
    }
    courier->texts[at] = strdup(text);
    *copied = *copied && courier->texts[at] != NULL;
    return courier->texts[at];
}

static bool settings_copy(struct courier *courier, const struct secenv_client_settings *settings)
{
    bool copied = true;
    courier->settings.socket_path = text_copy(courier, 0, settings->socket_path, &copied);
    courier->settings.program = text_copy(courier, 1, settings->program, &copied);
    courier->settings.store = text_copy(courier, 2, settings->store, &copied);
    courier->settings.root_key = text_copy(courier, 3, settings->root_key, &copied);
    courier->settings.audit_socket = text_copy(courier, 4, settings->audit_socket, &copied);
    return copied;
}

static void courier_free(struct courier *courier)
{
    struct courier_result *result;
    while ((result = courier_next(courier)) != NULL) {
        courier_result_free(result);
    }
    calls_clear(&courier->requests);
    calls_clear(&courier->sent);
    for (size_t i = 0; i < sizeof(courier->texts) / sizeof(courier->texts[0]); i++) {
        free(courier->texts[i]);
    }
    if (courier->bell >= 0) {
        close(courier->bell);
    }
    pthread_cond_destroy(&courier->result_came);
    pthread_mutex_destroy(&courier->mutex);
    free(courier);
}

static void queue_locks_init(struct courier *courier)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&courier->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&courier->result_came, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct courier *courier_start(const struct secenv_client_settings *settings, char *why, size_t why_size)
{
    struct courier *courier = calloc(1, sizeof(*courier));
    if (courier == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    queue_locks_init(courier);
    calls_init(&courier->requests);
    calls_init(&courier->sent);
    courier->results.last = &courier->results.first;
    courier->backoff_ms = BACKOFF_FIRST_MS;
    courier->main_thread = pthread_self();
    courier->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (courier->bell < 0 || !settings_copy(courier, settings) || !wake_install(courier)) {
        snprintf(why, why_size, "the thread to secenv cannot be prepared: %s", strerror(errno));
        courier_free(courier);
        return NULL;
    }
    if (!thread_start(courier)) {
        snprintf(why, why_size, "the thread to secenv cannot be started: %s", strerror(errno));
        sigaction(WAKE_SIGNAL, &courier->old_action, NULL);
        courier_free(courier);
        return NULL;
    }
    return courier;
}

void courier_nudge(struct courier *courier)
{
    atomic_store(&courier->nudges, NUDGES);
    bell_ring(courier);
}

void courier_stop(struct courier *courier)
{
    if (courier == NULL) {
        return;
    }
    atomic_store(&courier->ending, true);
    bell_ring(courier);
    pthread_join(courier->thread, NULL);
    sigaction(WAKE_SIGNAL, &courier->old_action, NULL);
    courier_free(courier);
}
