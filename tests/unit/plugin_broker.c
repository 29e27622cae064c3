/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/compat.h"
#include "plugin/broker/courier.h"
#include "plugin/broker/leaving.h"
#include "plugin/broker/watchdog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * mn_cse.so's callbacks against a fake broker, which is the functions of Mosquitto that they call, and a fake
 * courier, which brings what the test has put down.
 */
#define G "groupseal/v1/mn-1/doors/"
#define QUEUE 16u

struct mosquitto {
    const char *id;
    const char *username;
    const char *address;
};

static struct mosquitto door = {"A::Sdoor1", "Sdoor1", "127.0.0.1"};
static struct mosquitto spy = {"A::Sdoor1", "Sspy1", "127.0.0.1"};

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options,
                          int option_count);
int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count);

static struct {
    MOSQ_FUNC_generic_callback callbacks[COMPAT_CLIENT_OFFLINE + 1];
    void *userdata;
    char log[1200];
    bool log_comes_back; /* a client reads the broker's log */
    unsigned log_depth;
    unsigned nested_results; /* taken while a log line was written */
    char kicked[300];
    unsigned kicks;

    struct courier_result *results[QUEUE];
    size_t results_first;
    size_t results_end;
    size_t results_at_start; /* that come while the start waits */
    uint64_t tags[QUEUE];
    Groupseal__Secenv__ToSecenv__RequestCase requests[QUEUE];
    size_t request_count;
    uint64_t awaited_until_ms;
    bool endless; /* there is always one more result */
    size_t taken; /* of these */
} fake;

static int callback(enum compat_event event, void *data)
{
    assert_non_null(fake.callbacks[event]);
    return fake.callbacks[event]((int)event, data, fake.userdata);
}

static int may(struct mosquitto *client, int access, const char *topic)
{
    struct mosquitto_evt_acl_check check = {.client = client, .topic = topic, .access = access};
    return callback(COMPAT_ACL_CHECK, &check);
}

static void tick(void)
{
    struct mosquitto_evt_tick event = {0};
    assert_int_equal(callback(COMPAT_TICK, &event), MOSQ_ERR_SUCCESS);
}

static void gone(struct mosquitto *client)
{
    struct mosquitto_evt_disconnect event = {.client = client};
    assert_int_equal(callback(COMPAT_DISCONNECT, &event), MOSQ_ERR_SUCCESS);
}

static int say(struct mosquitto *client, const char *topic)
{
    static char payload[] = "x";
    char copy[200];
    snprintf(copy, sizeof(copy), "%s", topic);
    struct mosquitto_evt_message message = {
        .client = client, .topic = copy, .payload = payload, .payloadlen = 1};
    return callback(COMPAT_MESSAGE, &message);
}

/* ---- Mosquitto's functions ---- */

int mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event, MOSQ_FUNC_generic_callback cb,
                                const void *event_data, void *userdata)
{
    (void)identifier;
    (void)event_data;
    fake.callbacks[event] = cb;
    fake.userdata = userdata;
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_callback_unregister(mosquitto_plugin_id_t *identifier, int event, MOSQ_FUNC_generic_callback cb,
                                  const void *event_data)
{
    (void)identifier;
    (void)event_data;
    assert_true(fake.callbacks[event] == NULL || fake.callbacks[event] == cb);
    fake.callbacks[event] = NULL;
    return MOSQ_ERR_SUCCESS;
}

const char *mosquitto_client_id(const struct mosquitto *client)
{
    return client->id;
}

const char *mosquitto_client_username(const struct mosquitto *client)
{
    return client->username;
}

bool mosquitto_client_clean_session(const struct mosquitto *client)
{
    (void)client;
    return true;
}

const char *mosquitto_client_address(const struct mosquitto *client)
{
    return client->address;
}

void mosquitto_log_printf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* With log_dest topic, each line is a message, and its readers are asked about. */
void mosquitto_log_printf(int level, const char *format, ...)
{
    va_list arguments;
    (void)level;
    va_start(arguments, format);
    vsnprintf(fake.log, sizeof(fake.log), format, arguments);
    va_end(arguments);
    if (fake.log_comes_back && fake.log_depth < 4) {
        fake.log_depth++;
        assert_int_equal(may(&door, MOSQ_ACL_READ, "$SYS/broker/log/N"), MOSQ_ERR_SUCCESS);
        fake.log_depth--;
    }
}

void *mosquitto_malloc(size_t size)
{
    return malloc(size);
}

void mosquitto_free(void *memory)
{
    free(memory);
}

int mosquitto_pub_topic_check(const char *topic)
{
    (void)topic;
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_validate_utf8(const char *text, int length)
{
    (void)text;
    (void)length;
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_broker_publish(const char *client_id, const char *topic, int length, void *payload, int qos,
                             bool retain, mosquitto_property *properties)
{
    (void)client_id;
    (void)topic;
    (void)length;
    (void)qos;
    (void)retain;
    (void)properties;
    free(payload);
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_kick_client_by_clientid(const char *client_id, bool with_will)
{
    assert_false(with_will);
    snprintf(fake.kicked, sizeof(fake.kicked), "%s", client_id);
    fake.kicks++;
    return MOSQ_ERR_SUCCESS;
}

/* ---- the courier's functions ---- */

struct courier *courier_start(const struct secenv_client_settings *settings, char *why, size_t why_size)
{
    (void)settings;
    (void)why;
    (void)why_size;
    return (struct courier *)(void *)&fake;
}

void courier_stop(struct courier *courier)
{
    (void)courier;
}

bool courier_request(struct courier *courier, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
                     enum courier_rank rank)
{
    (void)courier;
    (void)rank;
    assert_true(fake.request_count < QUEUE);
    fake.tags[fake.request_count] = tag;
    fake.requests[fake.request_count++] = request->request_case;
    return true;
}

void courier_nudge(struct courier *courier)
{
    (void)courier;
}

bool courier_waiting(const struct courier *courier)
{
    (void)courier;
    return fake.endless || fake.results_first < fake.results_end;
}

/* A reply to nothing. */
static struct courier_result *result_endless(void)
{
    struct courier_result *result = calloc(1, sizeof(*result));
    assert_non_null(result);
    result->kind = COURIER_REPLY;
    fake.taken++;
    return result;
}

struct courier_result *courier_next(struct courier *courier)
{
    if (fake.endless) {
        return result_endless();
    }
    fake.nested_results += fake.log_depth > 0;
    return courier_waiting(courier) ? fake.results[fake.results_first++] : NULL;
}

void courier_result_free(struct courier_result *result)
{
    if (result->message != NULL) {
        groupseal__secenv__from_secenv__free_unpacked(result->message, NULL);
    }
    free(result);
}

static struct courier_result *result_put(enum courier_kind kind)
{
    struct courier_result *result = calloc(1, sizeof(*result));
    assert_non_null(result);
    assert_true(fake.results_end < QUEUE);
    result->kind = kind;
    fake.results[fake.results_end++] = result;
    return result;
}

static void reply_put(Groupseal__Secenv__Reply *reply, uint64_t tag)
{
    uint8_t packed[200];
    Groupseal__Secenv__FromSecenv message = GROUPSEAL__SECENV__FROM_SECENV__INIT;
    message.content_case = GROUPSEAL__SECENV__FROM_SECENV__CONTENT_REPLY;
    message.reply = reply;
    assert_true(groupseal__secenv__from_secenv__get_packed_size(&message) <= sizeof(packed));
    size_t size = groupseal__secenv__from_secenv__pack(&message, packed);
    struct courier_result *result = result_put(COURIER_REPLY);
    result->tag = tag;
    result->message = groupseal__secenv__from_secenv__unpack(NULL, size, packed);
    assert_non_null(result->message);
}

static void welcome_put(uint64_t tag)
{
    char profile[] = "member";
    char authority[] = "//sp.example/in-cse";
    char identity[] = "//sp.example/mn-1";
    char *identities[] = {identity};
    Groupseal__Secenv__Welcome welcome = GROUPSEAL__SECENV__WELCOME__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    welcome.profile = profile;
    welcome.authority = authority;
    welcome.identities = identities;
    welcome.n_identities = 1;
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
    reply.welcome = &welcome;
    reply_put(&reply, tag);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A secenv that answers whatever it was asked last, `results_at_start` times; then it is silent. */
bool courier_await(struct courier *courier, uint64_t deadline_ms)
{
    assert_true(deadline_ms <= now_ms() + 3000);
    fake.awaited_until_ms = deadline_ms;
    if (fake.results_at_start == 0) {
        return false;
    }
    fake.results_at_start--;
    if (fake.request_count == 0) {
        result_put(COURIER_UP);
    } else if (fake.requests[fake.request_count - 1] == GROUPSEAL__SECENV__TO_SECENV__REQUEST_HELLO) {
        welcome_put(fake.tags[fake.request_count - 1]);
    } else {
        Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
        reply_put(&reply, fake.tags[fake.request_count - 1]);
    }
    return courier_waiting(courier);
}

/* ---- life ---- */

static void start(size_t results_at_start)
{
    static char texts[5][2][32] = {{"cse_id", "//sp.example/mn-1"},
                                   {"in_cse", "//sp.example/in-cse"},
                                   {"identity", "//sp.example/%u"},
                                   {"foreign", "allow"},
                                   {"secenv_socket", "/nowhere"}};
    struct mosquitto_opt options[5];
    for (size_t i = 0; i < 5; i++) {
        options[i] = (struct mosquitto_opt){texts[i][0], texts[i][1]};
    }
    void *userdata = NULL;
    memset(&fake, 0, sizeof(fake));
    fake.results_at_start = results_at_start;
    assert_int_equal(mosquitto_plugin_init(NULL, &userdata, options, 5), MOSQ_ERR_SUCCESS);
    assert_ptr_equal(userdata, fake.userdata);
    tick();
}

static void end(void)
{
    assert_false(courier_waiting(NULL));
    assert_int_equal(mosquitto_plugin_cleanup(fake.userdata, NULL, 0), MOSQ_ERR_SUCCESS);
}

/* ---- tests ---- */

/* The start waits until secenv has told its groups, and no longer; with none it starts all the same. */
static void test_start_waits_for_the_groups(void **state)
{
    (void)state;
    start(20);
    assert_int_equal(fake.request_count, 3);
    assert_int_equal(fake.requests[2], GROUPSEAL__SECENV__TO_SECENV__REQUEST_STATUS);
    assert_int_equal(fake.results_at_start, 20 - 4); /* it is there, and three replies */
    assert_null(strstr(fake.log, "not told"));
    end();
    for (size_t results = 0; results < 4; results++) {
        start(results);
        assert_non_null(strstr(fake.log, "secenv has not told its groups yet"));
        assert_true(fake.awaited_until_ms > 0);
        end();
    }
}

/* Whoever reads the broker's log must not set off within a callback what belongs after it. */
static void test_log_that_comes_back(void **state)
{
    (void)state;
    start(4);
    fake.log_comes_back = true;
    result_put(COURIER_DOWN);
    result_put(COURIER_UP);
    result_put(COURIER_DOWN);
    tick();
    assert_non_null(strstr(fake.log, "not reachable"));
    assert_false(courier_waiting(NULL));
    result_put(COURIER_DOWN);
    assert_int_equal(may(&door, MOSQ_ACL_READ, "x"), MOSQ_ERR_SUCCESS);
    assert_false(courier_waiting(NULL));
    /* Lines that the agent writes when it is asked, and when it is told. */
    assert_int_equal(may(&door, MOSQ_ACL_SUBSCRIBE, G "cmd"), MOSQ_ERR_ACL_DENIED);
    result_put(COURIER_UP);
    assert_int_equal(say(&door, G "cmd"), MOSQ_ERR_ACL_DENIED);
    callback(COMPAT_RELOAD, NULL);
    assert_int_equal(fake.nested_results, 0);
    end();
}

static void test_wills(void **state)
{
    const char *const topic = "/oneM2M/req/Sdoor1/mn-1/json";
    struct mosquitto before = door;
    (void)state;
    start(4);
    assert_int_equal(may(&door, MOSQ_ACL_WRITE, topic), MOSQ_ERR_SUCCESS);
    gone(&door);
    assert_int_equal(may(&door, MOSQ_ACL_WRITE, topic), MOSQ_ERR_ACL_DENIED);
    /* The next client at this address: it subscribes, or says something, or is somebody else. */
    gone(&door);
    assert_int_equal(may(&door, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_SUCCESS);
    assert_int_equal(may(&door, MOSQ_ACL_WRITE, topic), MOSQ_ERR_SUCCESS);
    gone(&door);
    say(&spy, "x");
    assert_int_equal(may(&door, MOSQ_ACL_WRITE, topic), MOSQ_ERR_SUCCESS);
    gone(&door);
    tick();
    assert_int_equal(may(&door, MOSQ_ACL_WRITE, topic), MOSQ_ERR_SUCCESS);
    door.id = "other";
    gone(&door);
    door.id = before.id;
    assert_int_equal(may(&door, MOSQ_ACL_WRITE, topic), MOSQ_ERR_SUCCESS);
    door.username = "Sdoor2";
    gone(&door);
    door.username = before.username;
    assert_int_equal(may(&door, MOSQ_ACL_WRITE, topic), MOSQ_ERR_SUCCESS);
    end();
}

static void test_leaving_texts(void **state)
{
    struct leaving leaving = {0};
    (void)state;
    assert_false(leaving_is(&leaving, NULL, NULL, NULL));
    leaving_set(&leaving, &door, NULL, NULL);
    assert_true(leaving_is(&leaving, &door, NULL, NULL));
    assert_false(leaving_is(&leaving, &door, "ab", "c"));
    leaving_set(&leaving, &door, "ab", "c");
    assert_true(leaving_is(&leaving, &door, "ab", "c"));
    assert_false(leaving_is(&leaving, &door, "a", "bc"));
    assert_false(leaving_is(&leaving, &spy, "ab", "c"));
    leaving_clear(&leaving);
    assert_false(leaving_is(&leaving, &door, "ab", "c"));
}

/* Who has the session of another may do nothing at all, and is thrown off, not in the midst of a question. */
static void test_taken_client_id(void **state)
{
    (void)state;
    start(4);
    assert_int_equal(may(&spy, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_ACL_DENIED);
    assert_non_null(strstr(fake.log, "Sspy1 has connected under the client id A::Sdoor1"));
    assert_int_equal(may(&spy, MOSQ_ACL_WRITE, "x"), MOSQ_ERR_ACL_DENIED);
    assert_int_equal(may(&spy, MOSQ_ACL_READ, "x"), MOSQ_ERR_ACL_DENIED);
    assert_int_equal(say(&spy, "x"), MOSQ_ERR_ACL_DENIED);
    assert_int_equal(fake.kicks, 0);
    tick();
    assert_int_equal(fake.kicks, 1);
    assert_string_equal(fake.kicked, "A::Sdoor1");
    tick();
    assert_int_equal(fake.kicks, 1);
    /* Its owner, with the same right to it, is left alone. */
    assert_int_equal(may(&door, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_SUCCESS);
    assert_int_equal(say(&door, "x"), MOSQ_ERR_SUCCESS);
    tick();
    assert_int_equal(fake.kicks, 1);
    /* So is the owner that took it back meanwhile, and a session that is offline. */
    assert_int_equal(may(&spy, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_ACL_DENIED);
    gone(&spy);
    tick();
    assert_int_equal(may(&spy, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_ACL_DENIED);
    assert_int_equal(may(&door, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_SUCCESS);
    tick();
    assert_int_equal(may(&spy, MOSQ_ACL_READ, "x"), MOSQ_ERR_ACL_DENIED);
    tick();
    assert_int_equal(fake.kicks, 1);
    assert_int_equal(may(&spy, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_ACL_DENIED);
    end();
}

/* What the watchdog writes on standard error, within 300 ms. */
/* The broker asks about each reader while it goes through its list of what was published, and what comes of a
 * result is added to that list: so nothing is taken there without an end, however fast secenv is. */
static void test_fast_secenv_and_many_readers(void **state)
{
    (void)state;
    start(3);
    fake.endless = true;
    tick();
    size_t turn = fake.taken;
    assert_in_range(turn, 1, 4096);
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(may(&door, MOSQ_ACL_READ, "plant/a"), MOSQ_ERR_SUCCESS);
    }
    assert_int_equal(fake.taken, turn);
    tick();
    assert_int_equal(fake.taken, 2 * turn);

    /* Otherwise they are taken when a reader is asked about: one that leaves is not read to for long. */
    fake.endless = false;
    tick();
    result_put(COURIER_REPLY);
    assert_int_equal(may(&door, MOSQ_ACL_READ, "plant/a"), MOSQ_ERR_SUCCESS);
    assert_false(courier_waiting(NULL));
    end();
}

static void watched(bool feed, char *said, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int before = dup(STDERR_FILENO);
    assert_true(before >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    struct watchdog *watchdog = watchdog_start(100, "no ticks, in a test");
    if (feed) {
        watchdog_feed(watchdog);
    }
    usleep(300 * 1000);
    watchdog_stop(watchdog);
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[1]);
    ssize_t length = read(ends[0], said, size - 1);
    close(ends[0]);
    said[length > 0 ? length : 0] = '\0';
    assert_non_null(watchdog);
}

static void test_watchdog(void **state)
{
    char said[200];
    (void)state;
    watched(false, said, sizeof(said));
    assert_string_equal(said, "mn_cse: no ticks, in a test\n");
    watched(true, said, sizeof(said));
    assert_string_equal(said, "");
    watchdog_feed(NULL);
    watchdog_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_waits_for_the_groups),
        cmocka_unit_test(test_log_that_comes_back),
        cmocka_unit_test(test_wills),
        cmocka_unit_test(test_leaving_texts),
        cmocka_unit_test(test_taken_client_id),
        cmocka_unit_test(test_fast_secenv_and_many_readers),
        cmocka_unit_test(test_watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
