/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The group agent, driven by a sequence: clients that come, publish, subscribe and go; the secure environment
 * that answers, tells, is full and goes; time. The input decides each; a small model of who was told to be in
 * which group says what no answer may be.
 */
#include "message.h"

#include <stdio.h>

#include "onem2m/primitive.h"
#include "onem2m/topic.h"
#include "plugin/agent/agent.h"

#define TEXT(constant_) ((char *)(uintptr_t)(constant_))
#define PENDING_LIMIT 4096u
#define TOKENS_LIMIT 256u
#define STEPS_LIMIT 400u
#define NAMES 5u
#define GROUPS 3u

/* Proven names; the last connection has proven none. */
static const char *const names[NAMES] = {"Sdoor1", "Sdoor2", "Sspy1", "in-cse", NULL};
static const char *const groups[GROUPS] = {"doors", "halls", "cellar"};

static const struct agent_settings settings = {
    .cse_id = "//sp.example/mn-1", .in_cse = "//sp.example/in-cse", .identity = "//sp.example/%u"};

static struct agent *agent;
static struct arena *arena;
static struct dice dice;
static uint64_t now_ms;
static bool broker_full;
static bool queue_full;
static bool secenv_up;
static uint64_t pending[PENDING_LIMIT]; /* tags that secenv owes an answer */
static size_t pending_count;
static bool told[GROUPS][NAMES]; /* by secenv, and not taken back by a whole list since */
static uint64_t tokens[TOKENS_LIMIT];
static size_t token_count;
static bool ever_full; /* then secenv may not have heard of the end of an object */
static uint64_t next_token;
static char kept[65536];
static size_t kept_length;
static char last_rqi[ONEM2M_RQI_LIMIT + 1]; /* of the last request that went out */

/* ---- ports ---- */

static uint64_t port_monotonic(void *context)
{
    (void)context;
    return now_ms;
}

static uint64_t port_wall(void *context)
{
    (void)context;
    return 1764000000000u + now_ms;
}

static bool port_publish(void *context, const struct agent_publication *publication)
{
    struct onem2m_topic topic;
    struct group_topic group;
    (void)context;
    bool primitive = onem2m_topic_parse(publication->topic, &topic);
    if (!primitive) {
        ALWAYS(group_topic_parse(publication->topic, &group) && strcmp(group.site, "mn-1") == 0);
        return !broker_full;
    }
    ALWAYS(!publication->retain && publication->qos == 1);
    struct onem2m_primitive *parsed = onem2m_parse(publication->payload, publication->length);
    ALWAYS(parsed != NULL);
    if (onem2m_is_request(parsed)) {
        (void)snprintf(last_rqi, sizeof(last_rqi), "%s", onem2m_rqi(parsed));
    }
    onem2m_free(parsed);
    return !broker_full;
}

/* One Answered for a Send, and for nothing else. */
static void token_take(uint64_t token)
{
    for (size_t i = 0; i < token_count; i++) {
        if (tokens[i] == token) {
            tokens[i] = tokens[--token_count];
            return;
        }
    }
    ALWAYS(false);
}

static bool port_request(void *context, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
                         enum agent_rank rank)
{
    (void)context;
    ALWAYS(rank <= AGENT_RANK_OWN && groupseal__secenv__to_secenv__get_packed_size(request) <= 65536);
    if (!secenv_up || queue_full || pending_count == PENDING_LIMIT) {
        return false;
    }
    if (request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED) {
        token_take(request->answered->token);
    }
    pending[pending_count++] = tag;
    return true;
}

static void port_log(void *context, enum agent_severity severity, const char *text)
{
    (void)context;
    (void)severity;
    for (; *text != '\0'; text++) {
        ALWAYS((unsigned char)*text >= ' ');
    }
}

/* What is kept for the next start: lines, one after the other. */
static bool port_keep(void *context, const char *line, size_t length)
{
    (void)context;
    ALWAYS(memchr(line, '\n', length) == NULL);
    if (length + 1 > sizeof(kept) - kept_length) {
        return false;
    }
    memcpy(kept + kept_length, line, length);
    kept[kept_length + length] = '\n';
    kept_length += length + 1;
    return true;
}

static struct agent *agent_made(void)
{
    const struct agent_ports ports = {NULL,         port_monotonic, port_wall, port_publish,
                                      port_request, port_log,       port_keep};
    char why[256];
    struct agent *made = agent_new(&settings, &ports, why, sizeof(why));
    ALWAYS(made != NULL);
    return made;
}

/* ---- words ---- */

static const struct vocabulary *words(void)
{
    static const char *const texts[] = {"",
                                        "//sp.example/mn-1",
                                        "//sp.example/in-cse",
                                        "//sp.example/Sdoor1",
                                        "//sp.example/Sdoor2",
                                        "//sp.example/Sspy1",
                                        "mn-1",
                                        "doors",
                                        "halls",
                                        "cellar",
                                        "member",
                                        "authority",
                                        "Sdoor1",
                                        "\x01",
                                        "#",
                                        "groupseal/+"};
    static const uint8_t object[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const struct bytes octets[] = {{object, sizeof(object)}, {object, 1}};
    static const uint64_t numbers[] = {1, 2, 255, 256, 257, UINT32_MAX, UINT64_MAX};
    static const struct vocabulary vocabulary = {texts,   sizeof(texts) / sizeof(texts[0]),
                                                 octets,  sizeof(octets) / sizeof(octets[0]),
                                                 numbers, sizeof(numbers) / sizeof(numbers[0])};
    return &vocabulary;
}

static const char *name_any(void)
{
    return names[dice_pick(&dice, NAMES)];
}

/* A topic or filter: levels of the vocabulary in the shapes of ours. */
static char *topic_any(void)
{
    static const char *const shapes[] = {"/oneM2M/req/%s/%s/json",
                                         "/oneM2M/resp/%s/%s/json",
                                         "/oneM2M/reg_req/%s/%s/json",
                                         "/oneM2M/req/%s/%s/xml",
                                         "groupseal/v1/mn-1/%s/%s",
                                         "groupseal/v1/mn-1/%s/msg/%s",
                                         "groupseal/v1/%s/%s/cmd",
                                         "groupseal/v1/mn-1/%s/ack/%s",
                                         "groupseal/v1/mn-1/%s/tree/0/%s",
                                         "$share/%s/%s/#",
                                         "%s/%s"};
    static const char *const levels[] = {"Sdoor1", "Sdoor2", "Sspy1",   "mn-1",      "in-cse", "doors",
                                         "halls",  "cmd",    "epoch",   "policy",    "+",      "#",
                                         "",       "C",      "/oneM2M", "groupseal", "0"};
    const char *shape = shapes[dice_pick(&dice, sizeof(shapes) / sizeof(shapes[0]))];
    const char *first = levels[dice_pick(&dice, sizeof(levels) / sizeof(levels[0]))];
    const char *second = levels[dice_pick(&dice, sizeof(levels) / sizeof(levels[0]))];
    char *topic = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    topic = arena_print(arena, shape, first, second);
#pragma GCC diagnostic pop
    ALWAYS(topic != NULL);
    return topic;
}

static char *primitive_any(void)
{
    static const char *const contents[] = {
        "",
        ",\"pc\":{\"m2m:seci\":{\"sit\":6,\"eckm\":\"AQID\"}}",
        ",\"ty\":2,\"pc\":{\"m2m:ae\":{\"api\":\"N1\",\"rr\":true}}",
        ",\"rqet\":\"20251124T160004\"",
        ",\"rqet\":\"20991124T160004\",\"ot\":\"x\"",
        ",\"pc\":[]",
        ",\"ty\":9,\"pc\":{\"m2m:grp\":{\"rn\":\"g\",\"mt\":2,\"mnm\":9,\"mid\":[\"Sdoor1\",\"/in-cse\"]}}",
        ",\"pc\":{\"m2m:grp\":{\"mid\":[\"Sdoor1\"],\"mnm\":2}}",
        ",\"rcn\":0,\"rt\":{\"rtv\":3}"};
    static const char *const ids[] = {"//sp.example/mn-1",
                                      "//sp.example/in-cse",
                                      "//sp.example/Sdoor1",
                                      "//sp.example/Sdoor2",
                                      "Sdoor1",
                                      "/in-cse",
                                      "/mn-1",
                                      "S",
                                      "C",
                                      "mn-1/g",
                                      "mn-1/g/fopt",
                                      "/mn-1/mn-1/g/fopt/x"};
    const char *content = contents[dice_pick(&dice, sizeof(contents) / sizeof(contents[0]))];
    const char *to = ids[dice_pick(&dice, sizeof(ids) / sizeof(ids[0]))];
    const char *from = ids[dice_pick(&dice, sizeof(ids) / sizeof(ids[0]))];
    size_t number = dice_pick(&dice, 8);
    char *text = NULL;
    if (dice_byte(&dice) % 2 == 0) {
        text = arena_print(arena, "{\"op\":%zu,\"to\":\"%s\",\"fr\":\"%s\",\"rqi\":\"q%zu\"%s}",
                           dice_pick(&dice, 7), to, from, number, content);
    } else {
        text = arena_print(arena, "{\"rsc\":%d,\"rqi\":\"%s\",\"fr\":\"%s\"%s}", number == 1 ? 4000 : 2000,
                           last_rqi, from, content);
    }
    ALWAYS(text != NULL);
    return text;
}

/* ---- the model ---- */

static size_t index_of(const char *const *list, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] != NULL && text != NULL && strcmp(list[i], text) == 0) {
            return i;
        }
    }
    return count;
}

static const char *stem(const char *id)
{
    static const char provider[] = "//sp.example/";
    return strncmp(id, provider, sizeof(provider) - 1) == 0 ? id + sizeof(provider) - 1 : id;
}

static void roster_look(const Groupseal__Secenv__Event *event)
{
    const Groupseal__Secenv__RosterEvent *roster = event->roster;
    size_t group = index_of(groups, GROUPS, roster->group);
    if (group == GROUPS) {
        return;
    }
    bool ours = strcmp(event->identity, settings.cse_id) == 0 && strcmp(roster->site, "mn-1") == 0;
    if (ours && roster->deleted) {
        memset(told[group], 0, sizeof(told[group]));
        return;
    }
    bool whole = ours && roster->page == 0 && roster->pages == 1;
    if (whole) {
        memset(told[group], 0, sizeof(told[group]));
    }
    for (size_t i = 0; i < roster->n_members; i++) {
        size_t name = index_of(names, NAMES, stem(roster->members[i]));
        if (name < NAMES) {
            told[group][name] = true;
        }
    }
}

/* Whom secenv has never told to be a member gets nothing of a group; who has proven nothing gets nothing. */
static void answer_look(const char *name, enum agent_access access, const char *topic,
                        enum agent_answer answer)
{
    struct group_topic parsed;
    char group[80];
    if (answer != AGENT_ALLOWED || access == AGENT_UNSUBSCRIBE) {
        return;
    }
    ALWAYS(name != NULL);
    if (access == AGENT_SUBSCRIBE || !group_topic_parse(topic, &parsed)) {
        return;
    }
    (void)snprintf(group, sizeof(group), "%s", parsed.group);
    size_t which = index_of(groups, GROUPS, group);
    size_t client = index_of(names, NAMES, name);
    ALWAYS(which < GROUPS && client < NAMES && told[which][client]);
}

/* That one is cleared may be heard by whoever has a device's name. */
static bool is_announcement(const char *topic)
{
    struct group_topic parsed;
    return group_topic_parse(topic, &parsed) && parsed.kind == GROUP_EPOCH;
}

/* ---- steps ---- */

static void step_message(void)
{
    const char *name = name_any();
    char *topic = topic_any();
    char *payload = primitive_any();
    answer_look(name, AGENT_WRITE, topic, agent_message(agent, name, topic, payload, strlen(payload)));
    if (dice_byte(&dice) % 4 == 1) { /* QoS 1 */
        (void)agent_message(agent, name, topic, payload, strlen(payload));
    }
}

/* As its own client would write it. */
static void step_own_message(void)
{
    const char *name = names[dice_pick(&dice, 4)];
    const char *tree = dice_byte(&dice) % 2 == 0 ? "req" : "resp";
    char *payload = primitive_any();
    char *topic = arena_print(arena, "/oneM2M/%s/%s/%s/json", tree, strcmp(tree, "req") == 0 ? name : "mn-1",
                              strcmp(tree, "req") == 0 ? "mn-1" : name);
    ALWAYS(topic != NULL);
    (void)agent_message(agent, name, topic, payload, strlen(payload));
}

static void step_group_message(void)
{
    const char *name = names[dice_pick(&dice, 4)];
    const uint8_t *data = NULL;
    char *topic = arena_print(arena, "groupseal/v1/mn-1/%s/%s/%s", groups[dice_pick(&dice, GROUPS)],
                              dice_byte(&dice) % 2 == 0 ? "msg" : "ack", name);
    size_t length = dice_bytes(&dice, &data);
    ALWAYS(topic != NULL);
    answer_look(name, AGENT_WRITE, topic, agent_message(agent, name, topic, data, length));
}

static void step_attempt(void)
{
    const char *name = name_any();
    enum agent_access access = (enum agent_access)(1u << dice_pick(&dice, 4));
    char *topic = topic_any();
    uint8_t how = dice_byte(&dice);
    const struct agent_attempt attempt = {name,           access,         topic,
                                          (how & 1) != 0, (how & 2) != 0, (how & 4) != 0};
    enum agent_answer answer = agent_allows(agent, &attempt);
    if (access == AGENT_READ && attempt.empty && is_announcement(topic)) {
        ALWAYS(answer != AGENT_ALLOWED || index_of(names, NAMES, name) < NAMES);
    } else {
        answer_look(name, access, topic, answer);
    }
}

static void step_client(void)
{
    static const char *const ids[] = {"A::Sdoor1", "A::Sdoor2", "C::in-cse", "x", ""};
    const char *name = name_any();
    if (dice_byte(&dice) % 2 == 0) {
        agent_gone(agent, name);
    } else {
        (void)agent_client_id_fits(agent, name, ids[dice_pick(&dice, 5)]);
    }
}

static void reply_give(const Groupseal__Secenv__Reply *reply)
{
    if (pending_count != 0) {
        size_t which = dice_pick(&dice, pending_count > 256 ? 256 : pending_count);
        uint64_t tag = pending[which];
        memmove(&pending[which], &pending[which + 1], (--pending_count - which) * sizeof(pending[0]));
        agent_secenv_reply(agent, tag, reply);
    }
}

static void step_reply(void)
{
    reply_give(message_make(&groupseal__secenv__reply__descriptor, words(), &dice, arena));
}

static void step_welcome(void)
{
    char *identities[] = {TEXT(settings.cse_id)};
    Groupseal__Secenv__Welcome welcome = GROUPSEAL__SECENV__WELCOME__INIT;
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    welcome.profile = TEXT("member");
    welcome.identities = identities;
    welcome.n_identities = 1;
    welcome.authority = TEXT(settings.in_cse);
    reply.content_case = GROUPSEAL__SECENV__REPLY__CONTENT_WELCOME;
    reply.welcome = &welcome;
    reply_give(&reply);
}

/* secenv numbers its objects anew each time; the agent is told of the end of each. */
static void token_give(Groupseal__Secenv__Event *event)
{
    event->send->token = ++next_token;
    if (secenv_up && token_count < TOKENS_LIMIT) {
        uint64_t refused = agent_counter(agent, AGENT_COUNT_EVENTS_REFUSED);
        tokens[token_count++] = event->send->token;
        agent_secenv_event(agent, event);
        if (agent_counter(agent, AGENT_COUNT_EVENTS_REFUSED) != refused) {
            token_take(event->send->token);
        }
    }
}

static void event_give(Groupseal__Secenv__Event *event)
{
    if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER) {
        roster_look(event);
    }
    if (event->content_case == GROUPSEAL__SECENV__EVENT__CONTENT_SEND) {
        token_give(event);
    } else {
        agent_secenv_event(agent, event);
    }
}

static void step_event(void)
{
    Groupseal__Secenv__Event *event =
        message_make(&groupseal__secenv__event__descriptor, words(), &dice, arena);
    if (dice_byte(&dice) % 8 != 1) {
        event->identity = TEXT(settings.cse_id);
    }
    event_give(event);
}

static void step_roster(void)
{
    char *members[3];
    Groupseal__Secenv__RosterEvent roster = GROUPSEAL__SECENV__ROSTER_EVENT__INIT;
    Groupseal__Secenv__Event event = GROUPSEAL__SECENV__EVENT__INIT;
    uint8_t who = dice_byte(&dice);
    for (size_t i = 0; i < 3; i++) {
        if ((who >> i & 1) != 0) {
            members[roster.n_members++] = arena_print(arena, "//sp.example/%s", names[i]);
        }
    }
    roster.group = TEXT(groups[dice_pick(&dice, GROUPS)]);
    roster.site = TEXT("mn-1");
    roster.members = members;
    roster.deleted = (who & 0xf8) == 8;
    roster.pages = 1 + (uint32_t)dice_pick(&dice, 3);
    roster.page = (uint32_t)dice_pick(&dice, 3);
    event.identity = TEXT(settings.cse_id);
    event.content_case = GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER;
    event.roster = &roster;
    event_give(&event);
}

static void step_secenv(void)
{
    if (secenv_up) {
        secenv_up = false;
        token_count = 0;
        while (pending_count != 0) {
            agent_secenv_reply(agent, pending[--pending_count], NULL);
        }
        agent_secenv_down(agent, "for a test");
    } else {
        secenv_up = true;
        agent_secenv_up(agent);
    }
}

static void step_full(void)
{
    uint8_t how = dice_byte(&dice);
    broker_full = (how & 1) != 0;
    queue_full = (how & 2) != 0;
    ever_full = ever_full || queue_full;
}

static void step_time(void)
{
    static const uint64_t steps_ms[] = {1000, 100, 5000, 31000, 120000, 3600000};
    now_ms += steps_ms[dice_pick(&dice, sizeof(steps_ms) / sizeof(steps_ms[0]))];
    agent_tick(agent);
}

static void step_configure(void)
{
    struct agent_settings changed = settings;
    char why[256] = "";
    uint8_t how = dice_byte(&dice);
    changed.identity = (how & 1) != 0 ? "//sp.example/%u" : "%u";
    changed.log_level = (enum agent_severity)(how % 3);
    bool done = agent_configure(agent, &changed, why, sizeof(why));
    ALWAYS(done == (why[0] == '\0'));
    ALWAYS(agent_configure(agent, &settings, why, sizeof(why)));
}

/* Power fails: the next agent has what was kept, or lines that nobody has written so. */
static void step_restart(void)
{
    const uint8_t *data = NULL;
    size_t at = 0;
    size_t restored = kept_length;
    if (secenv_up) {
        step_secenv();
    }
    agent_free(agent);
    agent = agent_made();
    memset(told, 0, sizeof(told));
    while (at < restored) {
        size_t length = (size_t)((char *)memchr(kept + at, '\n', restored - at) - (kept + at));
        ALWAYS(agent_restore(agent, kept + at, length));
        at += length + 1;
    }
    size_t length = dice_bytes(&dice, &data);
    (void)agent_restore(agent, (const char *)data, length);
    kept_length = 0;
    (void)agent_keep_all(agent);
}

static void steps_run(void)
{
    static void (*const steps[])(void) = {
        step_message, step_own_message, step_group_message, step_attempt, step_client,
        step_reply,   step_welcome,     step_event,         step_roster,  step_secenv,
        step_full,    step_time,        step_configure,     step_restart,
    };
    for (size_t i = 0; i < STEPS_LIMIT && dice.left != 0; i++) {
        steps[dice_pick(&dice, sizeof(steps) / sizeof(steps[0]))]();
        arena_reset(arena);
    }
}

/* Nothing is full any more and time passes: secenv hears of the end of each object that it sent. */
static void ends_look(void)
{
    broker_full = false;
    queue_full = false;
    if (!secenv_up) {
        return;
    }
    for (int i = 0; i < 200; i++) {
        now_ms += 1000;
        agent_tick(agent);
        while (pending_count != 0) {
            Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
            reply.code = GROUPSEAL__SECENV__CODE__REFUSED;
            agent_secenv_reply(agent, pending[--pending_count], &reply);
        }
    }
    ALWAYS(ever_full || token_count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (arena == NULL) {
        arena = arena_new((size_t)4 * 1024 * 1024);
        ALWAYS(arena != NULL);
    }
    dice = (struct dice){data, size};
    now_ms = 1000000;
    broker_full = queue_full = ever_full = secenv_up = false;
    pending_count = token_count = 0;
    next_token = 0;
    last_rqi[0] = '\0';
    memset(told, 0, sizeof(told));
    kept_length = 0;
    agent = agent_made();
    step_secenv();
    step_welcome();
    steps_run();
    ends_look();
    agent_free(agent);
    return 0;
}
