/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin_site.h"

#include <stdio.h>
#include <string.h>

/* The topic table, from every side: each line says what each kind of client may. */

#define G "groupseal/v1/mn-1/doors/"

/* Clients: a member of "doors", an AE that is none, the IN-CSE, a client that is no entity, one without a
 * name. */
static const char *const clients[] = {"Sdoor1", "Sspy1", "in-cse", "door1", NULL};
enum { MEMBER = 1, SPY = 2, IN = 4, NOBODY = 8, NAMELESS = 16, ALL = 31 };

struct line {
    const char *topic;
    unsigned write;
    unsigned read;
};

static const struct line topics[] = {
    /* requests: from the client to me, from me to the client */
    {"/oneM2M/req/Sdoor1/mn-1/json", MEMBER, 0},
    {"/oneM2M/req/Sspy1/mn-1/json", SPY, 0},
    {"/oneM2M/req/in-cse/mn-1/json", IN, 0},
    {"/oneM2M/req/mn-1/Sdoor1/json", 0, MEMBER},
    {"/oneM2M/req/mn-1/Sspy1/json", 0, SPY},
    {"/oneM2M/req/mn-1/in-cse/json", 0, IN},
    {"/oneM2M/req/mn-1/mn-1/json", 0, 0},
    {"/oneM2M/req/Sdoor1/in-cse/json", 0, 0},
    {"/oneM2M/req/in-cse/Sdoor1/json", 0, 0},
    {"/oneM2M/req/Sdoor1/Sspy1/json", 0, 0},
    {"/oneM2M/req/door1/mn-1/json", 0, 0},
    {"/oneM2M/req/Sdoor1/mn-2/json", 0, 0},
    {"/oneM2M/req/mn-2/Sdoor1/json", 0, 0},
    /* responses: originator of the request first */
    {"/oneM2M/resp/mn-1/Sdoor1/json", MEMBER, 0},
    {"/oneM2M/resp/mn-1/Sspy1/json", SPY, 0},
    {"/oneM2M/resp/mn-1/in-cse/json", IN, 0},
    {"/oneM2M/resp/Sdoor1/mn-1/json", 0, MEMBER},
    {"/oneM2M/resp/Sspy1/mn-1/json", 0, SPY},
    {"/oneM2M/resp/in-cse/mn-1/json", 0, IN},
    {"/oneM2M/resp/Sdoor1/in-cse/json", 0, 0},
    /* registration */
    {"/oneM2M/reg_req/Sdoor1/mn-1/json", MEMBER, 0},
    {"/oneM2M/reg_req/Sspy1/mn-1/json", SPY, 0},
    {"/oneM2M/reg_req/in-cse/mn-1/json", 0, 0},
    {"/oneM2M/reg_req/Sdoor1/mn-2/json", 0, 0},
    {"/oneM2M/reg_resp/Sdoor1/mn-1/json", 0, MEMBER},
    {"/oneM2M/reg_resp/Sspy1/mn-1/json", 0, SPY},
    {"/oneM2M/reg_resp/in-cse/mn-1/json", 0, 0},
    {"/oneM2M/reg_resp/Sdoor1/mn-2/json", 0, 0},
    /* other serialisations are not taken; shapes that are no topic of the binding */
    {"/oneM2M/req/Sdoor1/mn-1/xml", 0, 0},
    {"/oneM2M/req/Sdoor1/mn-1", 0, 0},
    {"/oneM2M/req/Sdoor1/mn-1/json/more", 0, 0},
    {"/oneM2M/other/Sdoor1/mn-1/json", 0, 0},
    {"/oneM2M", 0, 0},
    {"/oneM2M/", 0, 0},
    /* the group's topics */
    {G "cmd", 0, MEMBER},
    {G "epoch", 0, MEMBER},
    {G "policy", 0, MEMBER},
    {G "tree/0/0", 0, MEMBER},
    {G "tree/1/17", 0, MEMBER},
    {G "msg/Sdoor1", MEMBER, MEMBER},
    {G "msg/Sdoor2", 0, MEMBER},
    {G "msg/Sspy1", 0, MEMBER},
    {G "ack/Sdoor1", MEMBER, 0},
    {G "ack/Sdoor2", 0, 0},
    {G "ack/Sspy1", 0, 0},
    {G "other", 0, 0},
    {G "cmd/more", 0, 0},
    {G "tree/0", 0, 0},
    {G "tree/x/0", 0, 0},
    {"groupseal/v1/mn-1/sensors/cmd", 0, 0},
    {"groupseal/v1/mn-1/sensors/msg/Sdoor1", 0, 0},
    {"groupseal/v1/mn-2/doors/cmd", 0, 0},
    {"groupseal/v1/mn-2/doors/msg/Sdoor1", 0, 0},
    {"groupseal/v2/mn-1/doors/cmd", 0, 0},
    {"groupseal/v1/mn-1/doors", 0, 0},
    {"groupseal", 0, 0},
    {"groupseal/", 0, 0},
};

/* Filters that lie within our trees: who may subscribe. */
struct filter_line {
    const char *filter;
    unsigned allowed;
};

static const struct filter_line filters[] = {
    {"/oneM2M/req/+/Sdoor1/#", MEMBER},
    {"/oneM2M/req/+/Sdoor1/+", MEMBER},
    {"/oneM2M/req/+/Sdoor1/json", MEMBER},
    {"/oneM2M/req/+/Sdoor1", MEMBER},
    {"/oneM2M/req/mn-1/Sdoor1/json", MEMBER},
    {"/oneM2M/req/mn-1/Sdoor1/#", MEMBER},
    {"/oneM2M/req/+/in-cse/#", IN},
    {"/oneM2M/req/mn-2/Sdoor1/#", 0},
    {"/oneM2M/req/+/+/#", 0},
    {"/oneM2M/req/+/#", 0},
    {"/oneM2M/req/#", 0},
    {"/oneM2M/req/+/Sdoor1/json/more", 0},
    {"/oneM2M/req/Sdoor1/mn-1/json", 0},
    {"/oneM2M/resp/Sdoor1/#", MEMBER},
    {"/oneM2M/resp/Sdoor1/+/#", MEMBER},
    {"/oneM2M/resp/Sdoor1/+/json", MEMBER},
    {"/oneM2M/resp/Sdoor1/mn-1/json", MEMBER},
    {"/oneM2M/resp/in-cse/#", IN},
    {"/oneM2M/resp/Sdoor1/mn-2/#", 0},
    {"/oneM2M/resp/Sdoor1/+/json/more", 0},
    {"/oneM2M/resp/+/#", 0},
    {"/oneM2M/resp/#", 0},
    {"/oneM2M/reg_resp/Sdoor1/#", MEMBER},
    {"/oneM2M/reg_resp/Sdoor1/+/json", MEMBER},
    {"/oneM2M/reg_resp/in-cse/#", 0},
    {"/oneM2M/reg_resp/+/#", 0},
    {"/oneM2M/reg_req/#", 0},
    {"/oneM2M/reg_req/Sdoor1/mn-1/json", 0},
    {"/oneM2M/+/Sdoor1/#", 0},
    {"/oneM2M/#", 0},
    {"/oneM2M", 0},
    {G "cmd", MEMBER},
    {G "epoch", MEMBER},
    {G "policy", MEMBER},
    {G "msg/+", MEMBER},
    {G "msg/#", MEMBER},
    {G "msg/Sdoor2", MEMBER},
    {G "tree/#", MEMBER},
    {G "tree/+/+", MEMBER},
    {G "tree/0/5", MEMBER},
    {G "ack/+", 0},
    {G "ack/Sdoor1", 0},
    {G "#", 0},
    {G "+", 0},
    {G "+/+", 0},
    {G "msg", 0},
    {G "msg/+/+", 0},
    {"groupseal/v1/mn-1/+/cmd", 0},
    {"groupseal/v1/+/doors/cmd", 0},
    {"groupseal/v1/mn-1/sensors/cmd", 0},
    {"groupseal/v1/mn-1/#", 0},
    {"groupseal/#", 0},
    {"groupseal/+/mn-1/doors/cmd", 0},
};

static const char *const doors[] = {"//sp.example/Sdoor1", "//sp.example/Sdoor2", SITE_MN};

static struct site *site_with_doors(void)
{
    struct site *site = site_connected();
    site_roster(site, "doors", 3, doors);
    return site;
}

static void check(struct site *site, enum agent_access access, const char *topic, unsigned allowed)
{
    for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
        enum agent_answer expected = (allowed >> i & 1) != 0 ? AGENT_ALLOWED : AGENT_DENIED;
        enum agent_answer answer = site_may(site, clients[i], access, topic);
        if (answer != expected) {
            fail_msg("%s, access %d, %s: %d", clients[i] == NULL ? "(no name)" : clients[i], access, topic,
                     answer);
        }
    }
}

static void test_topics(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        check(site, AGENT_WRITE, topics[i].topic, topics[i].write);
        check(site, AGENT_READ, topics[i].topic, topics[i].read);
        check(site, AGENT_UNSUBSCRIBE, topics[i].topic, ALL);
    }
    site_free(site);
}

static void test_filters(void **state)
{
    struct site *site = site_with_doors();
    char shared[200];
    (void)state;
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        check(site, AGENT_SUBSCRIBE, filters[i].filter, filters[i].allowed);
        snprintf(shared, sizeof(shared), "$share/some/%s", filters[i].filter);
        check(site, AGENT_SUBSCRIBE, shared, filters[i].allowed);
        check(site, AGENT_UNSUBSCRIBE, shared, ALL);
    }
    site_free(site);
}

/* Every topic that a client may read can be subscribed exactly, and no other. */
static void test_exact_filters_follow_reading(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        if (topics[i].read != 0 && strstr(topics[i].topic, "/xml") == NULL) {
            check(site, AGENT_SUBSCRIBE, topics[i].topic, topics[i].read);
        }
    }
    site_free(site);
}

static void test_foreign(void **state)
{
    static const char *const foreign[] = {
        "sensors/1", "$SYS/broker/uptime", "oneM2M/req/a/b/json",          "/one",
        "/",         "groupseals/x",       "$CONTROL/dynamic-security/v1", "/oneM2Mx/a"};
    static const char *const reaching[] = {"#",        "+/#",        "+/+",        "/#",
                                           "/+/req/#", "+/oneM2M/#", "$share/a/#", "+/v1/mn-1/doors/cmd"};
    struct site *site = site_with_doors();
    (void)state;
    for (size_t client = 0; client < sizeof(clients) / sizeof(clients[0]); client++) {
        for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
            assert_int_equal(site_may(site, clients[client], AGENT_READ, foreign[i]), AGENT_FOREIGN);
            assert_int_equal(site_may(site, clients[client], AGENT_WRITE, foreign[i]), AGENT_FOREIGN);
            assert_int_equal(site_may(site, clients[client], AGENT_SUBSCRIBE, foreign[i]), AGENT_FOREIGN);
            assert_int_equal(site_say(site, clients[client], foreign[i], "x"), AGENT_FOREIGN);
        }
        for (size_t i = 0; i < sizeof(reaching) / sizeof(reaching[0]); i++) {
            assert_int_equal(site_may(site, clients[client], AGENT_SUBSCRIBE, reaching[i]), AGENT_FOREIGN);
        }
    }
    site_expect_silence(site);
    site_free(site);
}

static enum agent_answer write_with(struct site *site, const char *topic, bool retain, bool will)
{
    const struct agent_attempt attempt = {"Sdoor1", AGENT_WRITE, topic, retain, will, false};
    return agent_allows(site->agent, &attempt);
}

static void test_wills_and_retained(void **state)
{
    struct site *site = site_with_doors();
    (void)state;
    assert_int_equal(write_with(site, "/oneM2M/req/Sdoor1/mn-1/json", false, false), AGENT_ALLOWED);
    assert_int_equal(write_with(site, "/oneM2M/req/Sdoor1/mn-1/json", true, false), AGENT_DENIED);
    assert_int_equal(write_with(site, "/oneM2M/req/Sdoor1/mn-1/json", false, true), AGENT_DENIED);
    assert_int_equal(write_with(site, G "msg/Sdoor1", false, false), AGENT_ALLOWED);
    assert_int_equal(write_with(site, G "msg/Sdoor1", true, false), AGENT_DENIED);
    assert_int_equal(write_with(site, G "msg/Sdoor1", false, true), AGENT_DENIED);
    assert_int_equal(write_with(site, "sensors/1", true, true), AGENT_FOREIGN);
    site_free(site);
}

/* TS-0010 6.3.3 gives each entity a client id; with another's one could end its connections. */
static void test_client_ids(void **state)
{
    static const struct {
        const char *name;
        const char *client_id;
        bool fits;
    } cases[] = {
        {"Sdoor1", "A::Sdoor1", true},
        {"Sdoor1", "A::/Sdoor1", true},
        {"Sdoor1", "A://sp.example/Sdoor1", true}, /* nobody's: one colon */
        {"mn-1/Cdoor1", "A::Cdoor1", true},
        {"mn-1/Cdoor1", "A::mn-1:Cdoor1", true},
        {"in-cse", "C::in-cse", true},
        {"mn-2", "C::mn-2", true},
        {"Sdoor1", "Sdoor1", true},
        {"Sdoor1", "in-cse", true},
        {NULL, "auto-1234", true},
        {"anybody", "A:", true},
        {"Sdoor2", "A::Sdoor1", false},
        {"Sdoor1", "C::Sdoor1", false},
        {"Sdoor1", "C::in-cse", false},
        {"in-cse", "A::in-cse", false},
        {"in-cse", "A::Sdoor1", false},
        {"mn-2/Cdoor1", "A::Cdoor1", false},
        {"anybody", "A::Sdoor1", false},
        {"", "A::Sdoor1", false},
        {NULL, "A::Sdoor1", false},
        {NULL, "C::in-cse", false},
        {"Sdoor1", "A::", false},
        {"Sdoor1", "A::Sdoor1 ", false},
    };
    struct site *site = site_connected();
    uint64_t taken = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (agent_client_id_fits(site->agent, cases[i].name, cases[i].client_id) != cases[i].fits) {
            fail_msg("%s under %s", cases[i].name == NULL ? "(no name)" : cases[i].name, cases[i].client_id);
        }
        taken += !cases[i].fits;
    }
    assert_true(agent_client_id_fits(site->agent, "Sdoor1", NULL));
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_CLIENT_IDS_TAKEN), taken);
    assert_int_equal(site->log_lines, 2); /* that secenv is connected, and the first of these */
    assert_int_equal(site->log_severity, AGENT_ALARM);
    assert_non_null(strstr(site->log, "use_username_as_clientid"));
    site_free(site);
}

static void test_forms_of_one_ae(void **state)
{
    struct site *site = site_connected();
    static const char *const members[] = {"//sp.example/mn-1/Cdoor1"};
    (void)state;
    site_roster(site, "doors", 1, members);
    /* With this rule the AE's own name has two levels, as in a certificate's or a PSK identity's text. */
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_WRITE, "/oneM2M/req/Cdoor1/mn-1/json"),
                     AGENT_ALLOWED);
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_WRITE, "/oneM2M/req/mn-1:Cdoor1/mn-1/json"),
                     AGENT_ALLOWED);
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_READ, "/oneM2M/resp/mn-1:Cdoor1/mn-1/json"),
                     AGENT_ALLOWED);
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_SUBSCRIBE, "/oneM2M/req/+/mn-1:Cdoor1/#"),
                     AGENT_ALLOWED);
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_WRITE, "/oneM2M/reg_req/mn-1:Cdoor1/mn-1/json"),
                     AGENT_ALLOWED);
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_WRITE, G "msg/Cdoor1"), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_WRITE, G "msg/mn-1:Cdoor1"), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "mn-1/Cdoor1", AGENT_WRITE, "/oneM2M/req/mn-2:Cdoor1/mn-1/json"),
                     AGENT_DENIED);
    /* Another registrar's AE of the same stem is nobody here. */
    assert_int_equal(site_may(site, "mn-2/Cdoor1", AGENT_WRITE, "/oneM2M/req/Cdoor1/mn-1/json"),
                     AGENT_DENIED);
    assert_int_equal(site_may(site, "mn-2/Cdoor1", AGENT_WRITE, "/oneM2M/req/mn-2:Cdoor1/mn-1/json"),
                     AGENT_DENIED);
    /* This MN-CSE's own name, proven by whom ever, and names that are no id. */
    assert_int_equal(site_may(site, "mn-1", AGENT_WRITE, "/oneM2M/req/mn-1/mn-1/json"), AGENT_DENIED);
    assert_int_equal(site_may(site, "mn-1", AGENT_READ, "/oneM2M/req/Sdoor1/mn-1/json"), AGENT_DENIED);
    assert_int_equal(site_may(site, "", AGENT_WRITE, "/oneM2M/req/Sdoor1/mn-1/json"), AGENT_DENIED);
    assert_int_equal(site_may(site, "../Sdoor1", AGENT_WRITE, "/oneM2M/req/Sdoor1/mn-1/json"), AGENT_DENIED);
    assert_int_equal(site_may(site, "Sdoor1/", AGENT_WRITE, "/oneM2M/req/Sdoor1/mn-1/json"), AGENT_DENIED);
    site_free(site);
}

static void test_roster_decides(void **state)
{
    struct site *site = site_connected();
    (void)state;
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, G "cmd"), AGENT_DENIED); /* none yet */
    assert_int_equal(site_may(site, "Sdoor1", AGENT_SUBSCRIBE, G "cmd"), AGENT_DENIED);
    site_roster(site, "doors", 3, doors);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, G "cmd"), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_WRITE, G "ack/Sdoor1"), AGENT_ALLOWED);
    /* Dropped: at once, for a subscription that stands, too. */
    site_roster(site, "doors", 2, doors + 1);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, G "cmd"), AGENT_DENIED);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_WRITE, G "ack/Sdoor1"), AGENT_DENIED);
    assert_int_equal(site_say(site, "Sdoor1", G "msg/Sdoor1", "x"), AGENT_DENIED);
    assert_int_equal(site_may(site, "Sdoor2", AGENT_READ, G "cmd"), AGENT_ALLOWED);
    site_free(site);
}

static enum agent_answer reads_empty(struct site *site, const char *name, const char *topic)
{
    const struct agent_attempt attempt = {.name = name, .access = AGENT_READ, .topic = topic, .empty = true};
    return agent_allows(site->agent, &attempt);
}

/* Who is none in the roster any more hears that the announcement is gone, and nothing else. */
static void test_clearing_is_heard(void **state)
{
    struct site *site = site_connected();
    (void)state;
    site_roster(site, "doors", 2, doors + 1);
    assert_int_equal(reads_empty(site, "Sdoor1", G "epoch"), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_READ, G "epoch"), AGENT_DENIED);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_SUBSCRIBE, G "epoch"), AGENT_DENIED);
    static const char *const others[] = {G "cmd",        G "policy",   G "msg/Sdoor2",
                                         G "ack/Sdoor2", G "tree/0/0", "groupseal/v1/mn-2/doors/epoch"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(reads_empty(site, "Sdoor1", others[i]), AGENT_DENIED);
    }
    assert_int_equal(reads_empty(site, "door1", G "epoch"), AGENT_DENIED);
    assert_int_equal(reads_empty(site, "in-cse", G "epoch"), AGENT_DENIED);
    assert_int_equal(reads_empty(site, NULL, G "epoch"), AGENT_DENIED);
    site_free(site);
}

static uint64_t no_clock(void *context)
{
    (void)context;
    return 1;
}

static void test_rules(void **state)
{
    static const struct {
        struct agent_settings settings;
        bool good;
    } rules[] = {
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/%u"}, true},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/S%u"}, true},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/mn-1/%u"}, true},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/mn-1/C%u"}, true},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "%u"}, true},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = NULL}, false},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/"}, false},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/%u%u"}, false},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/%s"}, false},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "%n%u"}, false},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "/sp.example/%u"}, false},
        {{.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/mn-1/x/%u"}, false},
        {{.cse_id = NULL, .in_cse = SITE_IN, .identity = "//sp.example/%u"}, false},
        {{.cse_id = "mn-1", .in_cse = SITE_IN, .identity = "//sp.example/%u"}, false},
        {{.cse_id = "/mn-1", .in_cse = SITE_IN, .identity = "//sp.example/%u"}, false},
        {{.cse_id = "//sp.example/Sdoor1", .in_cse = SITE_IN, .identity = "//sp.example/%u"}, false},
        {{.cse_id = SITE_MN, .in_cse = NULL, .identity = "//sp.example/%u"}, false},
        {{.cse_id = SITE_MN, .in_cse = "in-cse", .identity = "//sp.example/%u"}, false},
        {{.cse_id = SITE_MN, .in_cse = SITE_MN, .identity = "//sp.example/%u"}, false},
        {{.cse_id = SITE_MN, .in_cse = "//other.example/in-cse", .identity = "//sp.example/%u"}, false},
    };
    const struct agent_ports ports = {.monotonic_ms = no_clock, .wall_ms = no_clock};
    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        char why[256] = "";
        struct agent *agent = agent_new(&rules[i].settings, &ports, why, sizeof(why));
        if ((agent != NULL) != rules[i].good || (agent == NULL && strstr(why, "plugin_opt_") == NULL)) {
            fail_msg("rule %zu: %s", i, why);
        }
        agent_free(agent);
    }
}

/* Names that have to look like something, several lines, the first that gives an id. */
static void test_patterns(void **state)
{
    static const char *const more[] = {"%u.right.example //sp.example/mn-1/C%u", "psk-%u //sp.example/S%u",
                                       "CN=%u,O=Site //sp.example/%u"};
    const struct agent_settings settings = {.cse_id = SITE_MN,
                                            .in_cse = SITE_IN,
                                            .identity = "%u.left.example //sp.example/S%u",
                                            .more_identities = more,
                                            .more_identity_count = 4 - 1};
    static const struct {
        const char *name;
        const char *stem; /* NULL: no entity */
    } names[] = {
        {"door1.left.example", "Sdoor1"},
        {"door1.right.example", "Cdoor1"},
        {"psk-door1", "Sdoor1"},
        {"CN=Sdoor1,O=Site", "Sdoor1"},
        {"CN=Sdoor1,O=Site2", NULL},
        {".left.example", NULL},
        {"psk-", NULL},
        {"Sdoor1", NULL},
        {"a/b.left.example", NULL},
        {"CN=a,OU=b,O=Site", NULL},
        {"door1.left.example.", NULL},
        {"", NULL},
    };
    struct site *site = site_connected();
    char why[300] = "";
    (void)state;
    assert_true(agent_configure(site->agent, &settings, why, sizeof(why)));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool both[2];
        for (size_t j = 0; j < 2; j++) {
            static const char *const stems[] = {"Sdoor1", "Cdoor1"};
            char filter[100];
            snprintf(filter, sizeof(filter), "/oneM2M/req/+/%s/#", stems[j]);
            both[j] = site_may(site, names[i].name, AGENT_SUBSCRIBE, filter) == AGENT_ALLOWED;
            if (both[j] != (names[i].stem != NULL && strcmp(names[i].stem, stems[j]) == 0)) {
                fail_msg("%s", names[i].name);
            }
        }
    }
    site_free(site);
}

static void test_wrong_patterns(void **state)
{
    static const char *const wrong[] = {
        "x //sp.example/%u", "%u%u //sp.example/%u", "%u //sp.example/x", "%s //sp.example/%u", "%u  ",
        " //sp.example/%u",  "a b //sp.example/%u"};
    struct site *site = site_connected();
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct agent_settings settings = {.cse_id = SITE_MN, .in_cse = SITE_IN, .identity = wrong[i]};
        char why[300] = "";
        if (agent_configure(site->agent, &settings, why, sizeof(why)) ||
            strstr(why, "plugin_opt_identity") == NULL) {
            fail_msg("%s: %s", wrong[i], why);
        }
    }
    site_free(site);
}

static const struct agent_settings observing = {
    .cse_id = SITE_MN, .in_cse = SITE_IN, .identity = "//sp.example/%u", .observe = true};

/* What enforce would refuse is counted and told, and neither denied nor acted on; the rest is as ever. */
static void test_observe(void **state)
{
    static const char request[] = "{\"op\":5,\"to\":\"//sp.example/in-cse\",\"fr\":\"Sdoor1\",\"rqi\":\"q\"}";
    const char *const members[] = {"//sp.example/Sdoor1"};
    struct site *site = site_connected();
    char why[256] = "";
    (void)state;
    site_roster(site, "doors", 1, members);
    assert_int_equal(site_may(site, "Sspy1", AGENT_SUBSCRIBE, G "cmd"), AGENT_DENIED);
    assert_true(agent_configure(site->agent, &observing, why, sizeof(why)));
    assert_int_equal(site_may(site, "Sspy1", AGENT_SUBSCRIBE, G "cmd"), AGENT_FOREIGN);
    assert_non_null(strstr(site->log, "with `mode enforce` Sspy1 may not subscribe to " G "cmd"));
    assert_int_equal(site_may(site, "Sspy1", AGENT_WRITE, G "msg/Sdoor1"), AGENT_FOREIGN);
    assert_int_equal(site_say(site, "Sspy1", G "msg/Sdoor1", "x"), AGENT_FOREIGN);
    assert_int_equal(site_say(site, "Sspy1", "/oneM2M/req/Sdoor1/mn-1/json", "%s", request), AGENT_FOREIGN);
    site_expect_silence(site);
    site_expect_idle(site);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_OBSERVED), 4);
    assert_int_equal(site_may(site, "Sspy1", AGENT_READ, G "cmd"), AGENT_FOREIGN);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_OBSERVED_READS), 1);
    assert_true(agent_client_id_fits(site->agent, "Sspy1", "A::Sdoor1"));
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_OBSERVED), 5);
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_DENIED), 1); /* before */
    /* Who may is served. */
    assert_int_equal(site_may(site, "Sdoor1", AGENT_SUBSCRIBE, G "cmd"), AGENT_ALLOWED);
    assert_int_equal(site_say(site, "Sdoor1", "/oneM2M/req/Sdoor1/mn-1/json", "%s", request), AGENT_ALLOWED);
    onem2m_free(site_primitive(site, "/oneM2M/req/mn-1/in-cse/json"));
    assert_int_equal(agent_counter(site->agent, AGENT_COUNT_OBSERVED), 5);
    site_free(site);
}

/* Moderated: a line in ten seconds, with the number of those left out; and none below the level. */
static void test_observed_lines(void **state)
{
    struct site *site = site_connected();
    struct agent_settings settings = observing;
    char why[256] = "";
    (void)state;
    assert_true(agent_configure(site->agent, &settings, why, sizeof(why)));
    unsigned lines = site->log_lines;
    for (unsigned i = 0; i < 20; i++) {
        site_may(site, "Sspy1", AGENT_SUBSCRIBE, G "cmd");
    }
    assert_int_equal(site->log_lines, lines + 1);
    site_forward(site, 10000);
    site_may(site, "Sspy1", AGENT_SUBSCRIBE, G "cmd");
    assert_int_equal(site->log_lines, lines + 2);
    assert_non_null(strstr(site->log, "(and 19 more like it)"));
    settings.log_level = AGENT_ALARM;
    assert_true(agent_configure(site->agent, &settings, why, sizeof(why)));
    site_forward(site, 10000);
    site_may(site, "Sspy1", AGENT_SUBSCRIBE, G "cmd");
    assert_int_equal(site->log_lines, lines + 2);
    site_free(site);
}

/* Other settings while it runs; wrong ones change nothing. */
static void test_configure(void **state)
{
    struct site *site = site_connected();
    struct agent_settings settings = observing;
    char why[256] = "";
    (void)state;
    assert_int_equal(site_may(site, "door1", AGENT_SUBSCRIBE, "/oneM2M/req/+/Sdoor1/#"), AGENT_DENIED);
    settings.observe = false;
    settings.identity = "//sp.example/S";
    assert_false(agent_configure(site->agent, &settings, why, sizeof(why)));
    assert_non_null(strstr(why, "plugin_opt_identity"));
    assert_int_equal(site_may(site, "Sdoor1", AGENT_SUBSCRIBE, "/oneM2M/req/+/Sdoor1/#"), AGENT_ALLOWED);
    settings.identity = "//sp.example/S%u";
    assert_true(agent_configure(site->agent, &settings, why, sizeof(why)));
    assert_int_equal(site_may(site, "door1", AGENT_SUBSCRIBE, "/oneM2M/req/+/Sdoor1/#"), AGENT_ALLOWED);
    assert_int_equal(site_may(site, "Sdoor1", AGENT_SUBSCRIBE, "/oneM2M/req/+/Sdoor1/#"), AGENT_DENIED);
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_exact_filters_follow_reading),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_wills_and_retained),
        cmocka_unit_test(test_client_ids),
        cmocka_unit_test(test_forms_of_one_ae),
        cmocka_unit_test(test_roster_decides),
        cmocka_unit_test(test_clearing_is_heard),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_wrong_patterns),
        cmocka_unit_test(test_observe),
        cmocka_unit_test(test_observed_lines),
        cmocka_unit_test(test_configure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
