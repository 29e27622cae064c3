/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The device of adn-ae, driven by a sequence: what its broker says and grants, connections that come and go,
 * its secure environment's events and replies, the application's calls, time. Connection, session and timers
 * are played here, in the place of the agents' own.
 */
#include "agents/adn-ae/device.h"

#include "agents/log.h"
#include "agents/session.h"
#include "agents/timer.h"
#include "message.h"
#include "onem2m/primitive.h"
#include "onem2m/topic.h"

#define IDENTITY "//sp.example/Sdoor1"
#define REGISTRAR "//sp.example/mn-1"
#define TEXT(constant_) ((char *)(uintptr_t)(constant_))
#define REPLIES_LIMIT 512u
#define TIMERS_LIMIT 16u
#define TOKENS_LIMIT 256u
#define STEPS_LIMIT 300u

struct connection {
    struct connection_callbacks callbacks;
    void *context;
    bool up;
};

struct open_request {
    session_reply *on_reply;
    void *context;
};

struct session {
    struct session_callbacks callbacks;
    void *context;
    bool ready;
    struct open_request open[REPLIES_LIMIT];
    size_t open_count;
};

static struct connection connection;
static struct session session;
static struct timer *timers[TIMERS_LIMIT];
static uint64_t deadlines[TIMERS_LIMIT];
static struct device *device;
static struct arena *arena;
static struct dice dice;
static uint64_t now_ms;
static bool granting;
static bool broker_full;
static char last_rqi[ONEM2M_RQI_LIMIT + 1];
static uint64_t tokens[TOKENS_LIMIT];
static size_t token_count;
static uint64_t next_token; /* of all lives of the secure environment: it draws others in each */
static bool ever_away;      /* then the end of an object may not have been told */
static size_t said_due;
static size_t commands_due;

/* ---- timers ---- */

static size_t timer_place(const struct timer *timer)
{
    size_t place = 0;
    while (place < TIMERS_LIMIT && timers[place] != timer) {
        place++;
    }
    ALWAYS(place < TIMERS_LIMIT);
    return place;
}

int timer_open(struct timer *timer, sd_event *loop, timer_due *due, void *context)
{
    (void)loop;
    *timer = (struct timer){NULL, due, context};
    size_t place = timer_place(NULL);
    timers[place] = timer;
    deadlines[place] = UINT64_MAX;
    return 0;
}

void timer_close(struct timer *timer)
{
    for (size_t i = 0; i < TIMERS_LIMIT; i++) {
        if (timers[i] == timer) {
            timers[i] = NULL;
        }
    }
}

void timer_start(struct timer *timer, uint64_t after_ms)
{
    deadlines[timer_place(timer)] = now_ms + after_ms;
}

void timer_stop(struct timer *timer)
{
    deadlines[timer_place(timer)] = UINT64_MAX;
}

uint64_t monotonic_ms(void)
{
    return now_ms;
}

static void time_pass(uint64_t ms)
{
    uint64_t end = now_ms + ms;
    for (size_t rounds = 0; rounds < 1000; rounds++) {
        size_t first = 0;
        for (size_t i = 0; i < TIMERS_LIMIT; i++) {
            if (timers[i] != NULL && (timers[first] == NULL || deadlines[i] < deadlines[first])) {
                first = i;
            }
        }
        if (timers[first] == NULL || deadlines[first] > end) {
            break;
        }
        now_ms = deadlines[first] > now_ms ? deadlines[first] : now_ms;
        deadlines[first] = UINT64_MAX;
        timers[first]->due(timers[first]->context);
    }
    now_ms = end;
}

/* ---- connection ---- */

struct connection *connection_open(sd_event *loop, const struct connection_settings *settings,
                                   const struct connection_callbacks *callbacks, void *context, char *why,
                                   size_t why_size)
{
    (void)loop;
    (void)settings;
    (void)why;
    (void)why_size;
    connection = (struct connection){*callbacks, context, false};
    return &connection;
}

void connection_close(struct connection *closed)
{
    (void)closed;
}

bool connection_is_up(const struct connection *asked)
{
    return asked->up;
}

bool connection_publish(struct connection *to, const char *topic, const void *payload, size_t length, int qos,
                        bool retained)
{
    struct onem2m_topic primitive;
    struct group_topic group;
    if (onem2m_topic_parse(topic, &primitive)) {
        bool asks = primitive.tree == ONEM2M_REQ || primitive.tree == ONEM2M_REG_REQ;
        ALWAYS(strcmp(asks ? primitive.originator : primitive.receiver, "Sdoor1") == 0);
        ALWAYS(qos == 1 && !retained);
        struct onem2m_primitive *parsed = onem2m_parse(payload, length);
        ALWAYS(parsed != NULL);
        if (onem2m_is_request(parsed)) {
            (void)snprintf(last_rqi, sizeof(last_rqi), "%s", onem2m_rqi(parsed));
        }
        onem2m_free(parsed);
    } else {
        ALWAYS(group_topic_parse(topic, &group));
    }
    return to->up && !broker_full;
}

bool connection_subscribe(struct connection *to, const char *filter, int qos)
{
    (void)to;
    ALWAYS(filter[0] != '\0' && (qos == 0 || qos == 1));
    return true;
}

void connection_resubscribe(struct connection *to, const char *filter)
{
    (void)to;
    ALWAYS(filter[0] != '\0');
}

bool connection_granted(const struct connection *asked, const char *filter)
{
    (void)filter;
    return asked->up && granting;
}

void connection_unsubscribe(struct connection *to, const char *filter)
{
    (void)to;
    (void)filter;
}

void connection_retry_refused(struct connection *to)
{
    (void)to;
}

/* ---- session ---- */

struct session *session_open(sd_event *loop, const struct session_settings *settings,
                             const struct session_callbacks *callbacks, void *context, char *why,
                             size_t why_size)
{
    (void)loop;
    (void)settings;
    (void)why;
    (void)why_size;
    memset(&session, 0, sizeof(session));
    session.callbacks = *callbacks;
    session.context = context;
    return &session;
}

static void reply_give(const Groupseal__Secenv__Reply *reply)
{
    if (session.open_count != 0) {
        struct open_request first = session.open[0];
        memmove(&session.open[0], &session.open[1], --session.open_count * sizeof(first));
        if (first.on_reply != NULL) {
            first.on_reply(session.context, first.context, reply);
        }
    }
}

void session_close(struct session *closed)
{
    closed->ready = false;
    while (closed->open_count != 0) {
        reply_give(NULL);
    }
}

bool session_is_ready(const struct session *asked)
{
    return asked->ready;
}

/* Of each Send the end is told once at most, and of nothing else. */
static void token_take(uint64_t token)
{
    size_t place = 0;
    while (place < token_count && tokens[place] != token) {
        place++;
    }
    ALWAYS(place < token_count);
    tokens[place] = tokens[--token_count];
}

bool session_request(struct session *to, Groupseal__Secenv__ToSecenv *request, session_reply *on_reply,
                     void *request_context)
{
    size_t size = groupseal__secenv__to_secenv__get_packed_size(request);
    if (!to->ready || to->open_count == REPLIES_LIMIT || size > SECENV_PACKET_LIMIT) {
        ever_away = true;
        return false;
    }
    if (request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED) {
        token_take(request->answered->token);
    }
    to->open[to->open_count++] = (struct open_request){on_reply, request_context};
    return true;
}

/* ---- the application ---- */

static void on_command(void *context, const struct device_command *command)
{
    (void)context;
    ALWAYS(commands_due-- != 0 && command->group != NULL);
}

static void on_device_message(void *context, const struct device_message *message)
{
    (void)context;
    ALWAYS(message->group != NULL && message->sender != NULL);
}

static void on_joined(void *context, const char *group)
{
    (void)context;
    ALWAYS(group != NULL);
}

static void on_departed(void *context, const char *group, const char *reason)
{
    (void)context;
    ALWAYS(group != NULL && reason != NULL);
}

static void on_said(void *context, const char *error)
{
    (void)context;
    (void)error;
    ALWAYS(said_due-- != 0);
}

/* ---- steps ---- */

static const struct vocabulary *words(void)
{
    static const char *const texts[] = {"",
                                        IDENTITY,
                                        REGISTRAR,
                                        "//sp.example/in-cse",
                                        "//sp.example/Sdoor2",
                                        "mn-1",
                                        "doors",
                                        "halls",
                                        "Sdoor1",
                                        "+",
                                        "\x01",
                                        "a/b"};
    static const uint8_t object[16] = {1, 2, 3};
    static const struct bytes octets[] = {{object, 16}, {object, 3}};
    static const uint64_t numbers[] = {1, 2, 3, 5, 6, UINT32_MAX, UINT64_MAX};
    static const struct vocabulary vocabulary = {texts,   sizeof(texts) / sizeof(texts[0]),
                                                 octets,  sizeof(octets) / sizeof(octets[0]),
                                                 numbers, sizeof(numbers) / sizeof(numbers[0])};
    return &vocabulary;
}

static void message_give(const char *topic, const char *payload, size_t length)
{
    char *copy = arena_alloc(arena, length + 1); /* a zero byte follows */
    ALWAYS(copy != NULL);
    if (length != 0) {
        memcpy(copy, payload, length);
    }
    const struct connection_message message = {topic, (const uint8_t *)copy, length,
                                               dice_byte(&dice) % 4 == 1};
    if (connection.up) {
        connection.callbacks.message(connection.context, &message);
    }
}

static void step_primitive(void)
{
    static const char *const topics[] = {
        "/oneM2M/resp/Sdoor1/mn-1/json",  "/oneM2M/req/mn-1/Sdoor1/json", "/oneM2M/reg_resp/Sdoor1/mn-1/json",
        "/oneM2M/req/in-cse/Sdoor1/json", "/oneM2M/req/mn-1/Sdoor2/json", "/oneM2M/req/mn-1/Sdoor1/xml",
    };
    static const char *const contents[] = {
        "", ",\"pc\":{\"m2m:seci\":{\"sit\":6,\"eckm\":\"AQID\"}}", ",\"pc\":{\"m2m:seci\":{\"sit\":1}}",
        ",\"pc\":{\"m2m:ae\":{\"aei\":\"Sdoor1\"}}", ",\"rqet\":\"20200101T000000\""};
    static const int codes[] = {2000, 2001, 4000, 4105, 5000};
    const char *content = contents[dice_pick(&dice, 5)];
    const char *topic = topics[dice_pick(&dice, 6)];
    uint8_t how = dice_byte(&dice);
    char *text = (how & 1) == 0
                     ? arena_print(arena, "{\"rsc\":%d,\"rqi\":\"%s\",\"fr\":\"%s\"%s}", codes[how / 2 % 5],
                                   last_rqi, (how & 0x80) != 0 ? IDENTITY : REGISTRAR, content)
                     : arena_print(arena, "{\"op\":%d,\"to\":\"%s\",\"fr\":\"%s\",\"rqi\":\"r%d\"%s}",
                                   how / 2 % 7, (how & 0x40) != 0 ? REGISTRAR : IDENTITY,
                                   (how & 0x80) != 0 ? REGISTRAR : "//sp.example/in-cse", how % 3, content);
    ALWAYS(text != NULL);
    message_give(topic, text, strlen(text));
}

static void step_group_message(void)
{
    static const char *const topics[] = {
        "groupseal/v1/mn-1/doors/cmd",        "groupseal/v1/mn-1/doors/msg/Sdoor2",
        "groupseal/v1/mn-1/doors/msg/Sdoor1", "groupseal/v1/mn-1/doors/ack/Sdoor2",
        "groupseal/v1/mn-1/doors/tree/1/2",   "groupseal/v1/mn-2/halls/epoch",
        "groupseal/v1/mn-1/doors/tree/x",     "else/where"};
    const uint8_t *data = NULL;
    const char *topic = topics[dice_pick(&dice, 8)];
    size_t length = dice_bytes(&dice, &data);
    message_give(topic, (const char *)data, length);
}

static void step_broker(void)
{
    connection.up = !connection.up;
    if (connection.up) {
        connection.callbacks.up(connection.context);
    } else {
        connection.callbacks.down(connection.context);
    }
}

static void step_granted(void)
{
    granting = !granting;
    if (granting && connection.up && connection.callbacks.granted != NULL) {
        connection.callbacks.granted(connection.context);
    }
}

static void step_full(void)
{
    broker_full = !broker_full;
}

static void step_secenv(void)
{
    if (!session.ready) {
        session.ready = true;
        session.callbacks.ready(session.context);
        return;
    }
    session.ready = false;
    ever_away = true;
    while (session.open_count != 0) {
        reply_give(NULL);
    }
    session.callbacks.lost(session.context);
}

static void step_reply(void)
{
    Groupseal__Secenv__Reply *reply =
        message_make(&groupseal__secenv__reply__descriptor, words(), &dice, arena);
    reply_give(reply);
}

static void step_event(void)
{
    Groupseal__Secenv__Event *event =
        message_make(&groupseal__secenv__event__descriptor, words(), &dice, arena);
    bool ours = dice_byte(&dice) % 8 != 1;
    event->identity = TEXT(ours ? IDENTITY : "//sp.example/Sdoor2");
    if (!session.ready) {
        return;
    }
    if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_SEND) {
        if (!ours || token_count == TOKENS_LIMIT) {
            return;
        }
        event->send->token = ++next_token;
        tokens[token_count++] = event->send->token;
    }
    if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_COMMAND && ours &&
        event->command->command_id.len == DEVICE_COMMAND_ID_SIZE) {
        commands_due++;
    }
    session.callbacks.event(session.context, event);
    ALWAYS(commands_due == 0);
}

static void step_join(void)
{
    char *sites[] = {TEXT("mn-1"), TEXT("mn-2")};
    Groupseal__Secenv__TreePlace places[10];
    Groupseal__Secenv__TreePlace *blocks[10];
    Groupseal__Secenv__Joined joined = GROUPSEAL__SECENV__JOINED__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    uint8_t how = dice_byte(&dice);
    joined.group = TEXT((how & 1) == 0 ? "doors" : "halls");
    joined.sites = sites;
    joined.n_sites = how / 2 % 3;
    joined.leaf_index = how;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        groupseal__secenv__tree_place__init(&places[i]);
        places[i].row = (uint32_t)i;
        places[i].column = (uint32_t)how >> i;
        blocks[i] = &places[i];
    }
    joined.blocks = blocks;
    joined.n_blocks = how / 8 % 10; /* more than there may be, too */
    event.identity = TEXT(IDENTITY);
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_JOINED;
    event.joined = &joined;
    if (session.ready) {
        session.callbacks.event(session.context, &event);
    }
}

static void step_say(void)
{
    const uint8_t *data = NULL;
    uint8_t how = dice_byte(&dice);
    size_t length = dice_bytes(&dice, &data);
    said_due++;
    if (!device_say(device, (how & 1) == 0 ? "doors" : "halls", data, length, on_said, NULL)) {
        said_due--;
    }
}

static void step_finish(void)
{
    uint8_t id[DEVICE_COMMAND_ID_SIZE] = {dice_byte(&dice)};
    uint8_t how = dice_byte(&dice);
    (void)device_finish(device, (how & 1) == 0 ? "doors" : "halls", id, (how & 2) != 0,
                        (how & 4) != 0 ? "it is stuck \xff" : "");
}

static void step_time(void)
{
    static const uint64_t steps_ms[] = {1000, 100, 6000, 31000, 120000, 3600000};
    time_pass(steps_ms[dice_pick(&dice, 6)]);
}

static void steps_run(void)
{
    static void (*const steps[])(void) = {
        step_primitive, step_group_message, step_broker, step_granted, step_full,   step_secenv,
        step_reply,     step_event,         step_join,   step_say,     step_finish, step_time,
    };
    for (size_t i = 0; i < STEPS_LIMIT && dice.left != 0; i++) {
        steps[dice_pick(&dice, sizeof(steps) / sizeof(steps[0]))]();
        arena_reset(arena);
    }
}

/* In time the secure environment hears of the end of each object that it sent. */
static void ends_look(void)
{
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    reply.code = GROUPSEAL__SECENV__CODE__REFUSED;
    for (int i = 0; i < 20; i++) {
        while (session.open_count != 0) {
            reply_give(&reply);
        }
        time_pass(10000);
    }
    ALWAYS(token_count == 0 || ever_away || !session.ready);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct device_callbacks callbacks = {on_command, on_device_message, on_joined, on_departed};
    static sd_event *loop;
    const struct device_settings settings = {
        .identity = IDENTITY, .registrar = REGISTRAR, .app_id = "N1", .secenv = {.socket_path = "played"}};
    char why[256] = "";
    if (arena == NULL) {
        arena = arena_new((size_t)4 * 1024 * 1024);
        ALWAYS(arena != NULL && sd_event_new(&loop) >= 0);
        agent_log_open("fuzz", AGENT_LOG_ALARM);
    }
    dice = (struct dice){data, size};
    now_ms = 1000000;
    granting = broker_full = ever_away = false;
    last_rqi[0] = '\0';
    token_count = 0;
    next_token = 0;
    said_due = commands_due = 0;
    device = device_new(loop, &settings, &callbacks, NULL, why, sizeof(why));
    ALWAYS(device != NULL);
    steps_run();
    ends_look();
    device_free(device);
    ALWAYS(said_due == 0);
    return 0;
}
