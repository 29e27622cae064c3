/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "envelope.pb-c.h"
#include "secenv/audit.h"
#include "secenv/crypto/kdf.h"
#include "secenv/member/command_clock.h"
#include "secenv/tree.h"
#include "tests/unit/operator.h"
#include "tests/unit/power.h"
#include "tests/unit/site.h"
#include "tests/unit/site_pki.h"

#define ARENA_LIMIT ((size_t)4 * 1024 * 1024)
#define NODES_LIMIT 320u
#define STEPS_LIMIT 200000u
#define MONOTONIC_START_US 1000000000u

/* ---- what is kept ---- */

/* An event as it was emitted, until the batch is committed; then it is ferried or recorded. */
struct emitted {
    uint64_t connection;
    Groupseal__Secenv__Event *event;
};

struct events {
    struct emitted *items;
    size_t count;
};

struct subscription {
    char group[65];
    char site[65];
    struct tree_place blocks[8];
    size_t block_count;
    bool given; /* since the node came online: it was Joined then */
};

/* A file of a store as site_keep found it. */
struct kept_file {
    char name[64];
    struct buffer content;
};

struct kept_node {
    struct kept_file files[8];
    size_t file_count;
    bool online;
};

struct site_node {
    struct site *site;
    char name[129];
    enum identity_kind kind;
    char directory[256];
    char root_key[300];
    const struct engine_operations *operations;
    struct store *store;
    struct engine *engine;
    struct arena *arena;
    struct power *power;
    bool down; /* its power went off: closed until site_reopen */
    struct clock_source clock;
    int64_t step_us;    /* of its wall clock, beside the site's */
    uint64_t booted_us; /* the site's time when its machine started … */
    unsigned boots;     /* … how often it has */
    bool online;
    uint64_t next_us; /* of the site's time */
    uint64_t last_id;
    bool failing;
    size_t fails_in;
    bool failed;
    struct events pending;
    bool early; /* the first of them */
    struct events recorded;
    struct subscription subscriptions[64];
    size_t subscription_count;
    struct kept_node kept;
    uint64_t cpu_us; /* of its engine and store */
};

struct carried {
    TAILQ_ENTRY(carried) queue;
    enum site_what what;
    char from[129];
    char to[129];
    uint64_t token;
    struct buffer payload;
    char failure[64];
    Groupseal__Secenv__Publish *publish;
    bool retained;
    bool was_late;
};

TAILQ_HEAD(carried_queue, carried);

struct stranger {
    char name[129];
    site_stranger take;
    void *context;
};

struct site {
    char directory[128];
    struct clock_source clock;
    uint64_t now_us;   /* since the start */
    uint64_t start_us; /* wall clock then */
    struct site_node *nodes[NODES_LIMIT];
    size_t node_count;
    struct stranger strangers[16];
    size_t stranger_count;
    struct carried_queue queue;
    Groupseal__Secenv__Publish **retained;
    size_t retained_count;
    size_t
        *retained_places; /* by topic: 1 and the place in `retained`; 0: none, RETAINED_GONE: none any more */
    size_t retained_room; /* a power of two */
    size_t retained_used; /* places that are not 0 */
    struct site_traffic traffic;
    site_hook hook;
    void *hook_context;
    Groupseal__Secenv__Publish **kept_retained;
    size_t kept_retained_count;
    uint64_t kept_now_us;
    size_t kept_node_count;
};

static uint64_t site_wall(void *context)
{
    const struct site *site = context;
    return site->start_us + site->now_us;
}

static uint64_t site_monotonic(void *context)
{
    const struct site *site = context;
    return MONOTONIC_START_US + site->now_us;
}

static uint64_t node_wall(void *context)
{
    const struct site_node *node = context;
    return (uint64_t)((int64_t)site_wall(node->site) + node->step_us);
}

static uint64_t node_monotonic(void *context)
{
    const struct site_node *node = context;
    return site_monotonic(node->site) - node->booted_us;
}

/* ---- copies ---- */

static Groupseal__Secenv__Event *event_copy(const Groupseal__Secenv__Event *event)
{
    size_t size = groupseal__secenv__event__get_packed_size(event);
    uint8_t *packed = malloc(size + 1);
    assert_non_null(packed);
    (void)groupseal__secenv__event__pack(event, packed);
    Groupseal__Secenv__Event *copy = groupseal__secenv__event__unpack(NULL, size, packed);
    free(packed);
    assert_non_null(copy);
    return copy;
}

Groupseal__Secenv__Publish *site_publish_copy(const Groupseal__Secenv__Publish *publish)
{
    size_t size = groupseal__secenv__publish__get_packed_size(publish);
    uint8_t *packed = malloc(size + 1);
    assert_non_null(packed);
    (void)groupseal__secenv__publish__pack(publish, packed);
    Groupseal__Secenv__Publish *copy = groupseal__secenv__publish__unpack(NULL, size, packed);
    free(packed);
    assert_non_null(copy);
    return copy;
}

static void events_add(struct events *events, uint64_t connection, Groupseal__Secenv__Event *event)
{
    events->items = realloc(events->items, (events->count + 1) * sizeof(*events->items));
    assert_non_null(events->items);
    events->items[events->count++] = (struct emitted){connection, event};
}

static void events_cut(struct events *events, size_t count)
{
    while (events->count > count) {
        groupseal__secenv__event__free_unpacked(events->items[--events->count].event, NULL);
    }
    if (count == 0) {
        free(events->items);
        events->items = NULL;
    }
}

/* ---- what is on its way ---- */

static void carried_free(struct carried *carried)
{
    buffer_clear(&carried->payload);
    if (carried->publish != NULL) {
        groupseal__secenv__publish__free_unpacked(carried->publish, NULL);
    }
    free(carried);
}

/* `name` NULL: of everybody. */
static void queue_forget(struct site *site, const char *name)
{
    struct carried *carried = TAILQ_FIRST(&site->queue);
    while (carried != NULL) {
        struct carried *next = TAILQ_NEXT(carried, queue);
        if (name == NULL || strcmp(carried->from, name) == 0 || strcmp(carried->to, name) == 0) {
            TAILQ_REMOVE(&site->queue, carried, queue);
            carried_free(carried);
        }
        carried = next;
    }
}

/* ---- nodes ---- */

static enum result node_emit(void *context, uint64_t connection, const Groupseal__Secenv__Event *event)
{
    struct site_node *node = context;
    if (node->failing && node->fails_in-- == 0) {
        node->failing = false;
        node->failed = true;
        return RESULT_INTERNAL;
    }
    events_add(&node->pending, connection, event_copy(event));
    return RESULT_OK;
}

/* As the service does it: of what comes first in a batch that is not held. */
static enum result node_emit_early(void *context, uint64_t connection, const Groupseal__Secenv__Event *event)
{
    struct site_node *node = context;
    bool early = node->pending.count == 0 && !store_held(node->store);
    enum result result = node_emit(context, connection, event);
    node->early = result == RESULT_OK && early;
    return result;
}

void site_fail_event(struct site_node *node, size_t at)
{
    node->failing = true;
    node->fails_in = at;
    node->failed = false;
}

bool site_failed(const struct site_node *node)
{
    return node->failed;
}

#define ASSERT_OK(expression)                                                                                \
    do {                                                                                                     \
        struct reason why = {""};                                                                            \
        enum result assert_result_ = (expression);                                                           \
        if (assert_result_ != RESULT_OK) {                                                                   \
            fail_msg("%s: %s (%s)", #expression, result_word(assert_result_), why.text);                     \
        }                                                                                                    \
    } while (0)

static enum result node_store_open(struct site_node *node, struct reason *why)
{
    bool authority = node->kind == IDENTITY_IN_CSE;
    return store_open(node->directory, authority ? STORE_AUTHORITY : STORE_MEMBER,
                      root_key_file(node->root_key), authority ? authority_schemas : member_schemas,
                      authority ? authority_schema_count : member_schema_count, &node->store, why);
}

static const struct site_node *at_work;

const struct site_node *site_at_work(void)
{
    return at_work;
}

/* Of the node whose engine is being opened. */
static unsigned opening_boots;

static enum result boot_id_write(char out[BOOT_ID_SIZE])
{
    (void)snprintf(out, BOOT_ID_SIZE, "boot %u", opening_boots);
    return RESULT_OK;
}

void site_boot(struct site_node *node)
{
    node->booted_us = node->site->now_us;
    node->boots++;
    command_clock_boot_id(boot_id_write);
}

static enum result node_engine_open(struct site_node *node, struct reason *why)
{
    opening_boots = node->boots;
    struct engine_setup setup = {
        .store = node->store,
        .clock = &node->clock,
        .events = {.emit = node_emit, .emit_early = node_emit_early, .context = node}};
    bool authority = node->kind == IDENTITY_IN_CSE;
    node->operations = authority ? &authority_operations : &member_operations;
    at_work = node;
    enum result result = (authority ? authority_engine_open : member_engine_open)(&setup, &node->engine, why);
    at_work = NULL;
    return result;
}

static void node_close(struct site_node *node)
{
    if (node->engine != NULL) {
        node->operations->close(node->engine);
        node->engine = NULL;
    }
    store_close(node->store);
    node->store = NULL;
    power_return(node->power);
}

/* What was on its way from and to its owner is lost too where the whole machine is off. */
static void node_crash(struct site_node *node)
{
    bool machine = power_loss_of(node->power) != POWER_KILL;
    node->down = true;
    node->early = false;
    events_cut(&node->pending, 0);
    arena_reset(node->arena);
    node->subscription_count = 0;
    node_close(node);
    if (machine) {
        queue_forget(node->site, node->name);
        site_boot(node);
    }
}

/* With the power off, whatever failed is its consequence: true. Without, a failure fails the test. */
static bool crashed(struct site_node *node, enum result result, const char *what, const struct reason *why)
{
    if (power_is_off(node->power)) {
        node_crash(node);
        return true;
    }
    if (result != RESULT_OK) {
        fail_msg("%s of %s: %s (%s)", what, node->name, result_word(result), why->text);
    }
    return false;
}

/* A message between it and its owner is a point where it can end, too. */
static bool crashed_at_message(struct site_node *node)
{
    if (node->down) {
        return true;
    }
    struct reason why = {""};
    (void)power_point(node->power);
    return crashed(node, RESULT_OK, "message", &why);
}

static void node_open(struct site_node *node)
{
    struct reason why = {""};
    enum result result = node_store_open(node, &why);
    if (result == RESULT_OK) {
        result = node_engine_open(node, &why);
    }
    node->next_us = 0;
    if (!crashed(node, result, "start", &why)) {
        node->down = false;
    }
}

void site_identity(struct site *site, const char *name, enum identity_kind kind, enum credentials_mode mode,
                   struct identity *identity)
{
    memset(identity, 0, sizeof(*identity));
    (void)snprintf(identity->name, sizeof(identity->name), "%s", name);
    identity->kind = kind;
    identity->mode = mode;
    (void)snprintf(identity->authority, sizeof(identity->authority), "%s", SITE_AUTHORITY);
    bool is_uri;
    assert_int_equal(identity_san(SITE_AUTHORITY, IDENTITY_IN_CSE, SITE_AUTHORITY, identity->authority_san,
                                  sizeof(identity->authority_san), &is_uri),
                     RESULT_OK);
    if (mode == CREDENTIALS_PSK) {
        site_psk(name, &identity->psk);
        (void)snprintf(identity->psk_identity, sizeof(identity->psk_identity), "%s", name);
    } else {
        site_pki_issue(site->directory, identity);
    }
}

static void node_provision(struct site_node *node, enum credentials_mode mode)
{
    bool authority = node->kind == IDENTITY_IN_CSE;
    struct identity identity;
    ASSERT_OK(
        store_create(node->directory, authority ? STORE_AUTHORITY : STORE_MEMBER, node->root_key, &why));
    ASSERT_OK(node_store_open(node, &why));
    site_identity(node->site, node->name, node->kind, mode, &identity);
    ASSERT_OK(store_begin(node->store, &why));
    ASSERT_OK(identity_store(node->store, &identity, false, &why));
    ASSERT_OK(store_commit(node->store, &why));
    identity_clear(&identity);
    store_close(node->store);
    node->store = NULL;
}

struct site_node *site_provision(struct site *site, const char *name, enum identity_kind kind,
                                 enum credentials_mode mode)
{
    assert_true(site->node_count < NODES_LIMIT);
    struct site_node *node = calloc(1, sizeof(*node));
    assert_non_null(node);
    node->site = site;
    node->kind = kind;
    (void)snprintf(node->name, sizeof(node->name), "%s", name);
    (void)snprintf(node->directory, sizeof(node->directory), "%s/store-%zu", site->directory,
                   site->node_count);
    (void)snprintf(node->root_key, sizeof(node->root_key), "%s/root.key", node->directory);
    node->clock = (struct clock_source){node_wall, node_monotonic, node};
    node->power = power_new(node->directory);
    node->arena = arena_new(ARENA_LIMIT);
    assert_non_null(node->arena);
    site->nodes[site->node_count++] = node;
    node_provision(node, mode);
    node_open(node);
    return node;
}

void site_psk(const char *name, struct secret *out)
{
    assert_int_equal(hash_bytes(bytes_of_text(name), out->data), RESULT_OK);
}

const char *site_name(const struct site_node *node)
{
    return node->name;
}

struct engine *site_engine(struct site_node *node)
{
    return node->engine;
}

struct store *site_store(struct site_node *node)
{
    return node->store;
}

const char *site_scratch(const struct site *site)
{
    return site->directory;
}

const char *site_directory(const struct site_node *node)
{
    return node->directory;
}

/* ---- site ---- */

/* What is done shows when the site has settled, with no need of time: who comes is not waited for with. */
static void collect_never(struct site_node *authority)
{
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__Settings settings = GROUPSEAL__SECENV__SETTINGS__INIT;
    settings.collect_ms = UINT32_MAX;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_SETTINGS;
    request.settings = &settings;
    Groupseal__Secenv__Reply *reply =
        site_request(authority, SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION, &request);
    assert_int_equal(reply->code, GROUPSEAL__SECENV__CODE__OK);
    site_reply_free(reply);
}

struct site *site_new(void)
{
    struct site *site = calloc(1, sizeof(*site));
    assert_non_null(site);
    const char *base = getenv("TMPDIR");
    (void)snprintf(site->directory, sizeof(site->directory), "%.90s/groupseal-site-XXXXXX",
                   base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(site->directory));
    TAILQ_INIT(&site->queue);
    site->clock = (struct clock_source){site_wall, site_monotonic, site};
    site->start_us = ((uint64_t)time(NULL) + 60u) * 1000000u;
    site_pki_make(site->directory);
    struct site_node *authority = site_provision(site, SITE_AUTHORITY, IDENTITY_IN_CSE, CREDENTIALS_CERT);
    site_online(authority, true);
    collect_never(authority);
    return site;
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void retained_clear(Groupseal__Secenv__Publish ***retained, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        groupseal__secenv__publish__free_unpacked((*retained)[i], NULL);
    }
    free(*retained);
    *retained = NULL;
    *count = 0;
}

static void retained_places_clear(struct site *site)
{
    free(site->retained_places);
    site->retained_places = NULL;
    site->retained_room = site->retained_used = 0;
}

void site_free(struct site *site)
{
    if (site == NULL) {
        return;
    }
    for (size_t i = 0; i < site->node_count; i++) {
        struct site_node *node = site->nodes[i];
        node_close(node);
        events_cut(&node->pending, 0);
        events_cut(&node->recorded, 0);
        for (size_t j = 0; j < node->kept.file_count; j++) {
            buffer_clear(&node->kept.files[j].content);
        }
        power_free(node->power);
        arena_free(node->arena);
        free(node);
    }
    queue_forget(site, NULL);
    retained_clear(&site->retained, &site->retained_count);
    retained_places_clear(site);
    retained_clear(&site->kept_retained, &site->kept_retained_count);
    (void)nftw(site->directory, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(site);
}

static struct site_node *node_find(const struct site *site, const char *name)
{
    for (size_t i = 0; i < site->node_count; i++) {
        if (strcmp(site->nodes[i]->name, name) == 0) {
            return site->nodes[i];
        }
    }
    return NULL;
}

struct site_node *site_find(struct site *site, const char *name)
{
    struct site_node *node = node_find(site, name);
    assert_non_null(node);
    return node;
}

struct site_node *site_authority(struct site *site)
{
    return site->nodes[0];
}

uint64_t site_now_ms(const struct site *site)
{
    return (site->start_us + site->now_us) / 1000u;
}

const struct clock_source *site_clock(struct site *site)
{
    return &site->clock;
}

void site_carry(struct site *site, site_hook hook, void *context)
{
    site->hook = hook;
    site->hook_context = context;
}

/* ---- the queue ---- */

static struct carried *carried_new(struct site *site, enum site_what what, const char *from, const char *to,
                                   struct bytes payload)
{
    struct carried *carried = calloc(1, sizeof(*carried));
    assert_non_null(carried);
    carried->what = what;
    (void)snprintf(carried->from, sizeof(carried->from), "%s", from);
    (void)snprintf(carried->to, sizeof(carried->to), "%s", to);
    carried->payload = BUFFER_EMPTY(65536);
    assert_int_equal(buffer_append(&carried->payload, payload), RESULT_OK);
    TAILQ_INSERT_TAIL(&site->queue, carried, queue);
    return carried;
}

static void site_level(const char *cse, char out[65])
{
    (void)snprintf(out, 65, "%s", strrchr(cse, '/') + 1);
}

static bool is_relay_of(const struct site_node *node, const char *mn_site)
{
    char level[65];
    if (node->kind != IDENTITY_MN_CSE) {
        return false;
    }
    site_level(node->name, level);
    return strcmp(level, mn_site) == 0;
}

static const struct subscription *subscription_of(const struct site_node *node, const char *mn_site,
                                                  const char *group)
{
    for (size_t i = 0; i < node->subscription_count; i++) {
        const struct subscription *subscription = &node->subscriptions[i];
        if (strcmp(subscription->site, mn_site) == 0 && strcmp(subscription->group, group) == 0) {
            return subscription;
        }
    }
    return NULL;
}

static bool hears_block(const struct subscription *subscription, uint32_t row, uint32_t column)
{
    for (size_t i = 0; i < subscription->block_count; i++) {
        if (subscription->blocks[i].row == row && subscription->blocks[i].column == column) {
            return true;
        }
    }
    return false;
}

static bool hears(const struct site_node *node, const Groupseal__Secenv__Publish *publish)
{
    bool up = publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_MESSAGE ||
              publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK;
    if (is_relay_of(node, publish->site)) {
        return up;
    }
    const struct subscription *subscription = subscription_of(node, publish->site, publish->group);
    if (node->kind != IDENTITY_ADN_AE || subscription == NULL) {
        return false;
    }
    return publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE
               ? hears_block(subscription, publish->row, publish->column)
               : publish->kind != GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_ACK;
}

static void publish_enqueue(struct site *site, const char *from, const char *to,
                            const Groupseal__Secenv__Publish *publish, bool retained)
{
    struct carried *carried = carried_new(site, SITE_PUBLISH, from, to,
                                          (struct bytes){publish->payload.data, publish->payload.len});
    carried->publish = site_publish_copy(publish);
    carried->retained = retained;
}

static bool same_topic(const Groupseal__Secenv__Publish *a, const Groupseal__Secenv__Publish *b)
{
    return a->kind == b->kind && strcmp(a->site, b->site) == 0 && strcmp(a->group, b->group) == 0 &&
           strcmp(a->sender, b->sender) == 0 && a->row == b->row && a->column == b->column;
}

/* ---- what is retained, by its topic ---- */

#define RETAINED_GONE SIZE_MAX

static size_t topic_hash(const Groupseal__Secenv__Publish *publish)
{
    const char *const texts[] = {publish->site, publish->group, publish->sender};
    uint64_t hash = 1469598103934665603u ^ (uint64_t)publish->kind << 32 ^ (uint64_t)publish->row << 28;
    for (size_t i = 0; i < 3; i++) {
        for (const char *c = texts[i]; *c != '\0'; c++) {
            hash = (hash ^ (unsigned char)*c) * 1099511628211u;
        }
    }
    hash = (hash ^ publish->column) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 24);
}

/* The slot of the topic's place, or the first that never was one. */
static size_t *retained_slot(const struct site *site, const Groupseal__Secenv__Publish *publish)
{
    size_t at = topic_hash(publish) & (site->retained_room - 1);
    for (size_t place = site->retained_places[at]; place != 0; place = site->retained_places[at]) {
        if (place != RETAINED_GONE && same_topic(site->retained[place - 1], publish)) {
            break;
        }
        at = (at + 1) & (site->retained_room - 1);
    }
    return &site->retained_places[at];
}

/* At most half of the slots are in use. */
static void retained_places_make(struct site *site)
{
    if (2 * (site->retained_used + 1) <= site->retained_room) {
        return;
    }
    size_t room = 64;
    while (room < 4 * (site->retained_count + 1)) {
        room *= 2;
    }
    retained_places_clear(site);
    site->retained_places = calloc(room, sizeof(*site->retained_places));
    assert_non_null(site->retained_places);
    site->retained_room = room;
    site->retained_used = site->retained_count;
    for (size_t i = 0; i < site->retained_count; i++) {
        *retained_slot(site, site->retained[i]) = i + 1;
    }
}

static void retained_add(struct site *site, const Groupseal__Secenv__Publish *publish, size_t *slot)
{
    site->retained_used += *slot == 0 ? 1 : 0;
    site->retained = realloc(site->retained, (site->retained_count + 1) * sizeof(*site->retained));
    assert_non_null(site->retained);
    site->retained[site->retained_count++] = site_publish_copy(publish);
    *slot = site->retained_count;
}

/* The last one takes its place. */
static void retained_remove(struct site *site, size_t *slot)
{
    size_t place = *slot;
    size_t *last = retained_slot(site, site->retained[site->retained_count - 1]);
    groupseal__secenv__publish__free_unpacked(site->retained[place - 1], NULL);
    site->retained[place - 1] = site->retained[--site->retained_count];
    *last = place;
    *slot = RETAINED_GONE;
}

static void retain(struct site *site, const Groupseal__Secenv__Publish *publish)
{
    retained_places_make(site);
    size_t *slot = retained_slot(site, publish);
    if (*slot != 0 && publish->payload.len != 0) {
        groupseal__secenv__publish__free_unpacked(site->retained[*slot - 1], NULL);
        site->retained[*slot - 1] = site_publish_copy(publish);
    } else if (*slot != 0) {
        retained_remove(site, slot);
    } else if (publish->payload.len != 0) {
        retained_add(site, publish, slot);
    }
}

void site_retain(struct site *site, const Groupseal__Secenv__Publish *publish)
{
    retain(site, publish);
}

struct bytes site_retained(struct site *site, const char *mn_site, const char *group,
                           Groupseal__Secenv__TopicKind kind)
{
    for (size_t i = 0; i < site->retained_count; i++) {
        const Groupseal__Secenv__Publish *publish = site->retained[i];
        if (publish->kind == kind && strcmp(publish->site, mn_site) == 0 &&
            strcmp(publish->group, group) == 0) {
            return (struct bytes){publish->payload.data, publish->payload.len};
        }
    }
    return (struct bytes){NULL, 0};
}

static void retained_give(struct site_node *node, const char *group)
{
    struct site *site = node->site;
    for (size_t i = 0; i < site->retained_count; i++) {
        const Groupseal__Secenv__Publish *publish = site->retained[i];
        if (strcmp(publish->group, group) == 0 && hears(node, publish)) {
            publish_enqueue(site, "", node->name, publish, true);
        }
    }
}

static void unsubscribe(struct site_node *node, const char *group)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->subscription_count; i++) {
        if (strcmp(node->subscriptions[i].group, group) != 0) {
            node->subscriptions[kept++] = node->subscriptions[i];
        }
    }
    node->subscription_count = kept;
}

static void traffic_note(struct site_traffic *traffic, const Groupseal__Secenv__Publish *publish)
{
    size_t bytes = publish->payload.len;
    traffic->publishes++;
    traffic->largest = bytes > traffic->largest ? bytes : traffic->largest;
    if (publish->kind == GROUPSEAL__SECENV__TOPIC_KIND__TOPIC_TREE && publish->row < 5) {
        traffic->row_bytes[publish->row] += bytes;
    } else {
        traffic->everybodys_bytes += bytes;
    }
}

struct site_traffic site_traffic(const struct site *site)
{
    return site->traffic;
}

void site_traffic_clear(struct site *site)
{
    site->traffic = (struct site_traffic){0};
}

static void subscribe(struct site_node *node, const Groupseal__Secenv__Joined *joined)
{
    unsubscribe(node, joined->group);
    for (size_t i = 0; i < joined->n_sites; i++) {
        assert_true(node->subscription_count < 64u);
        struct subscription *added = &node->subscriptions[node->subscription_count++];
        (void)snprintf(added->site, sizeof(added->site), "%s", joined->sites[i]);
        (void)snprintf(added->group, sizeof(added->group), "%s", joined->group);
        assert_true(joined->n_blocks <= sizeof(added->blocks) / sizeof(added->blocks[0]));
        added->block_count = joined->n_blocks;
        added->given = true;
        for (size_t k = 0; k < joined->n_blocks; k++) {
            added->blocks[k] = (struct tree_place){joined->blocks[k]->row, joined->blocks[k]->column};
        }
    }
    retained_give(node, joined->group);
}

static void publish_spread(struct site_node *node, const Groupseal__Secenv__Publish *publish)
{
    struct site *site = node->site;
    if (!node->online) {
        return;
    }
    if (publish->retained) {
        traffic_note(&site->traffic, publish);
        retain(site, publish);
    }
    for (size_t i = 0; i < site->node_count; i++) {
        if (site->nodes[i] != node && hears(site->nodes[i], publish)) {
            publish_enqueue(site, node->name, site->nodes[i]->name, publish, false);
        }
    }
}

/* Takes ownership. */
static void event_take(struct site_node *node, uint64_t connection, Groupseal__Secenv__Event *event)
{
    assert_string_equal(event->identity, node->name);
    switch (event->content_case) {
    case GROUPSEAL__SECENV__EVENT__CONTENT_SEND: {
        struct bytes object = {event->send->object.data, event->send->object.len};
        carried_new(node->site, SITE_OBJECT, node->name, event->send->to, object)->token = event->send->token;
        break;
    }
    case GROUPSEAL__SECENV__EVENT__CONTENT_PUBLISH:
        publish_spread(node, event->publish);
        break;
    case GROUPSEAL__SECENV__EVENT__CONTENT_JOINED:
        subscribe(node, event->joined);
        events_add(&node->recorded, connection, event);
        return;
    case GROUPSEAL__SECENV__EVENT__CONTENT_DEPARTED:
        unsubscribe(node, event->departed->group);
        events_add(&node->recorded, connection, event);
        return;
    case GROUPSEAL__SECENV__EVENT__CONTENT_RESUBSCRIBE:
        retained_give(node, event->resubscribe->group);
        events_add(&node->recorded, connection, event);
        return;
    default:
        events_add(&node->recorded, connection, event);
        return;
    }
    groupseal__secenv__event__free_unpacked(event, NULL);
}

/* ---- batches ---- */

/* The site's time for a time of the node's. */
static uint64_t node_due(const struct site_node *node, uint64_t due_us)
{
    return due_us > UINT64_MAX - node->booted_us ? UINT64_MAX : due_us + node->booted_us;
}

static uint64_t cpu_now_us(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t site_cpu_us(const struct site_node *node)
{
    return node->cpu_us;
}

/* Undoes what the request or turn has emitted. */
static void pending_cut(struct site_node *node, size_t count)
{
    events_cut(&node->pending, count);
    node->early = node->early && count > 0;
}

static bool turn(struct site_node *node)
{
    struct reason reason = {""};
    size_t before = node->pending.count;
    enum result result = store_savepoint(node->store, &reason);
    if (crashed(node, result, "savepoint", &reason)) {
        return false;
    }
    uint64_t next = UINT64_MAX;
    at_work = node;
    result = node->operations->turn(node->engine, node->arena, &next, &reason);
    at_work = NULL;
    node->next_us = node_due(node, next);
    if (result != RESULT_OK && node->failed) {
        store_rollback_to_savepoint(node->store);
        pending_cut(node, before);
        node->next_us = site_monotonic(node->site) + 1000000u;
        return true;
    }
    if (result == RESULT_OK) {
        result = store_release(node->store, &reason);
    }
    return !crashed(node, result, "turn", &reason);
}

/* What need not wait for the disk. False where its power went off. */
static bool early_deliver(struct site_node *node)
{
    if (!node->early) {
        return true;
    }
    struct emitted first = node->pending.items[0];
    node->early = false;
    node->pending.count--;
    memmove(&node->pending.items[0], &node->pending.items[1], node->pending.count * sizeof(first));
    if (crashed_at_message(node)) {
        groupseal__secenv__event__free_unpacked(first.event, NULL);
        return false;
    }
    event_take(node, first.connection, first.event);
    return true;
}

/* False where its power went off before all was on disk. */
static bool batch_commit(struct site_node *node)
{
    struct reason reason = {""};
    uint64_t start_us = cpu_now_us();
    if (!turn(node)) {
        return false;
    }
    if (crashed(node, store_commit(node->store, &reason), "commit", &reason)) {
        return false;
    }
    arena_reset(node->arena);
    node->cpu_us += cpu_now_us() - start_us;
    return true;
}

/* What was committed goes out, one after the other. */
static void batch_deliver(struct site_node *node)
{
    struct events events = node->pending;
    node->pending = (struct events){NULL, 0};
    for (size_t i = 0; i < events.count; i++) {
        if (crashed_at_message(node)) {
            groupseal__secenv__event__free_unpacked(events.items[i].event, NULL);
        } else {
            event_take(node, events.items[i].connection, events.items[i].event);
        }
    }
    free(events.items);
}

static void node_turn(struct site_node *node)
{
    struct reason reason = {""};
    if (crashed(node, store_begin(node->store, &reason), "turn", &reason)) {
        return;
    }
    if (batch_commit(node)) {
        batch_deliver(node);
    }
}

static Groupseal__Secenv__Reply *reply_copy(const Groupseal__Secenv__Reply *reply)
{
    size_t size = groupseal__secenv__reply__get_packed_size(reply);
    uint8_t *packed = malloc(size + 1);
    assert_non_null(packed);
    assert_true(size <= 65000u); /* it must fit a packet */
    (void)groupseal__secenv__reply__pack(reply, packed);
    Groupseal__Secenv__Reply *copy = groupseal__secenv__reply__unpack(NULL, size, packed);
    free(packed);
    assert_non_null(copy);
    return copy;
}

/* ---- every refusal of what comes from afar is counted ---- */

static uint64_t refusals_counted(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < AUDIT_COUNT; i++) {
        const char *name = audit_name((enum audit_counter)i);
        if (strstr(name, "refused") != NULL || strstr(name, "dropped") != NULL ||
            strstr(name, "replayed") != NULL) {
            sum += audit_value((enum audit_counter)i);
        }
    }
    return sum;
}

static bool answers_a_refusal(const Groupseal__Secenv__Reply *reply)
{
    if (reply->content_case != GROUPSEAL__SECENV__REPLY__CONTENT_ANSWER) {
        return false;
    }
    struct bytes object = {reply->answer->object.data, reply->answer->object.len};
    Groupseal__Envelope__EndToEnd *parsed =
        groupseal__envelope__end_to_end__unpack(NULL, object.length, object.data);
    assert_non_null(parsed);
    bool refusal = parsed->content_case == GROUPSEAL__ENVELOPE__END_TO_END__CONTENT_REFUSAL;
    groupseal__envelope__end_to_end__free_unpacked(parsed, NULL);
    return refusal;
}

/* An owner that names an identity which is not here is a mistake of its own. */
static void assert_refusal_counted(const struct site_node *node, const Groupseal__Secenv__ToSecenv *request,
                                   const Groupseal__Secenv__Reply *reply, uint64_t before)
{
    bool own =
        reply->code == GROUPSEAL__SECENV__CODE__STORE || reply->code == GROUPSEAL__SECENV__CODE__INTERNAL;
    bool heard = request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD &&
                 strcmp(request->heard->identity, node->name) == 0 &&
                 reply->code != GROUPSEAL__SECENV__CODE__OK && !own;
    bool received =
        request->request_case == GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED && answers_a_refusal(reply);
    if ((heard || received) && refusals_counted() == before) {
        fail_msg("refused, and not counted: %s", reply->reason);
    }
}

/* The caller hears nothing: its connection has ended. */
static Groupseal__Secenv__Reply *reply_lost(void)
{
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    reply.code = GROUPSEAL__SECENV__CODE__STORE;
    reply.reason = (char *)(uintptr_t)SITE_LOST;
    return reply_copy(&reply);
}

/* Between begin and release or rollback; false where its power went off meanwhile. */
static bool request_run(struct site_node *node, const struct engine_caller *caller,
                        const Groupseal__Secenv__ToSecenv *request, Groupseal__Secenv__Reply *reply,
                        struct reason *why)
{
    struct reason fatal = {""};
    size_t before = node->pending.count;
    uint64_t start_us = cpu_now_us();
    if (crashed(node, store_savepoint(node->store, &fatal), "savepoint", &fatal)) {
        return false;
    }
    at_work = node;
    enum result result = node->operations->request(node->engine, caller, request, node->arena, reply, why);
    at_work = NULL;
    enum result ended = RESULT_OK;
    if (result == RESULT_OK) {
        ended = store_release(node->store, &fatal);
    } else {
        store_rollback_to_savepoint(node->store);
        pending_cut(node, before);
    }
    node->cpu_us += cpu_now_us() - start_us;
    reply->code = (Groupseal__Secenv__Code)result;
    reply->reason = result == RESULT_OK ? (char *)(uintptr_t)protobuf_c_empty_string : why->text;
    return !crashed(node, ended, "request", &fatal);
}

/* Between begin and commit; NULL: its power went off. */
static Groupseal__Secenv__Reply *batch_request(struct site_node *node, const struct engine_caller *caller,
                                               Groupseal__Secenv__ToSecenv *request)
{
    Groupseal__Secenv__Reply reply = GROUPSEAL__SECENV__REPLY__INIT;
    struct reason reason = {""};
    size_t size = groupseal__secenv__to_secenv__get_packed_size(request);
    request->id = ++node->last_id;
    uint8_t *packed = arena_alloc(node->arena, size + 16);
    assert_non_null(packed);
    size = groupseal__secenv__to_secenv__pack(request, packed);
    Groupseal__Secenv__ToSecenv *parsed =
        groupseal__secenv__to_secenv__unpack(arena_allocator(node->arena), size, packed);
    assert_non_null(parsed);
    reply.id = parsed->id;
    uint64_t counted = refusals_counted();
    if (!request_run(node, caller, parsed, &reply, &reason)) {
        return NULL;
    }
    Groupseal__Secenv__Reply *copy = reply_copy(&reply);
    assert_refusal_counted(node, parsed, copy, counted);
    return copy;
}

Groupseal__Secenv__Reply *site_request(struct site_node *node, enum socket_kind socket, uint64_t connection,
                                       Groupseal__Secenv__ToSecenv *request)
{
    struct engine_caller caller = {socket, connection};
    struct reason reason = {""};
    if (crashed_at_message(node) || crashed(node, store_begin(node->store, &reason), "batch", &reason)) {
        return reply_lost();
    }
    Groupseal__Secenv__Reply *reply = batch_request(node, &caller, request);
    if (reply == NULL) {
        return reply_lost();
    }
    if (!early_deliver(node) || !batch_commit(node) || crashed_at_message(node)) {
        site_reply_free(reply);
        return reply_lost();
    }
    batch_deliver(node);
    return reply;
}

void site_requests(struct site_node *node, Groupseal__Secenv__ToSecenv *const *requests, size_t count,
                   Groupseal__Secenv__Reply **replies)
{
    struct engine_caller caller = {SOCKET_OPERATOR, SITE_OPERATOR_CONNECTION};
    struct reason reason = {""};
    assert_int_equal(store_begin(node->store, &reason), RESULT_OK);
    for (size_t i = 0; i < count; i++) {
        replies[i] = batch_request(node, &caller, requests[i]);
        assert_non_null(replies[i]);
    }
    assert_true(batch_commit(node));
    batch_deliver(node);
}

void site_reply_free(Groupseal__Secenv__Reply *reply)
{
    groupseal__secenv__reply__free_unpacked(reply, NULL);
}

static Groupseal__Secenv__Code owner_request(struct site_node *node, Groupseal__Secenv__ToSecenv *request)
{
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, request);
    Groupseal__Secenv__Code code = reply->code;
    site_reply_free(reply);
    return code;
}

void site_online(struct site_node *node, bool online)
{
    Groupseal__Secenv__Online content = GROUPSEAL__SECENV__ONLINE__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = node->name;
    content.online = online;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ONLINE;
    request.online = &content;
    node->online = online;
    for (size_t i = 0; i < node->subscription_count; i++) {
        node->subscriptions[i].given = false;
    }
    Groupseal__Secenv__Code code = owner_request(node, &request);
    if (node->down) {
        return;
    }
    assert_int_equal(code, GROUPSEAL__SECENV__CODE__OK);
    for (size_t i = 0; online && i < node->subscription_count; i++) {
        if (!node->subscriptions[i].given) {
            retained_give(node, node->subscriptions[i].group);
        }
    }
}

void site_close(struct site_node *node)
{
    node_close(node);
    events_cut(&node->pending, 0);
    node->subscription_count = 0; /* of its owner's connection: Joined says them again */
}

void site_reopen(struct site_node *node)
{
    node_open(node);
    if (!node->down && node->online) {
        site_online(node, true);
    }
}

void site_restart(struct site_node *node)
{
    site_close(node);
    site_reopen(node);
}

void site_disconnect(struct site_node *node, enum socket_kind socket, uint64_t connection)
{
    struct engine_caller caller = {socket, connection};
    node->operations->disconnected(node->engine, &caller);
    node_turn(node);
    if (socket == SOCKET_OWNER && connection == 1) {
        node->online = false;
    }
}

/* ---- keeping ---- */

static void kept_file_read(struct site_node *node, const char *name)
{
    struct kept_node *kept = &node->kept;
    uint8_t piece[16384];
    ssize_t length;
    char path[400];
    assert_true(kept->file_count < sizeof(kept->files) / sizeof(kept->files[0]));
    struct kept_file *file = &kept->files[kept->file_count++];
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    (void)snprintf(path, sizeof(path), "%s/%s", node->directory, name);
    file->content = BUFFER_EMPTY((size_t)16 * 1024 * 1024);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    while ((length = read(fd, piece, sizeof(piece))) > 0) {
        assert_int_equal(buffer_append(&file->content, (struct bytes){piece, (size_t)length}), RESULT_OK);
    }
    assert_int_equal(close(fd), 0);
}

/* Calls `each` for every file in the node's directory. */
static void files_walk(struct site_node *node, void (*each)(struct site_node *node, const char *name))
{
    DIR *directory = opendir(node->directory);
    const struct dirent *entry;
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            each(node, entry->d_name);
        }
    }
    (void)closedir(directory);
}

static void file_forget(struct site_node *node, const char *name)
{
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/%s", node->directory, name);
    assert_int_equal(unlink(path), 0);
}

static void kept_files_write(struct site_node *node)
{
    files_walk(node, file_forget);
    for (size_t i = 0; i < node->kept.file_count; i++) {
        const struct kept_file *file = &node->kept.files[i];
        char path[400];
        (void)snprintf(path, sizeof(path), "%s/%s", node->directory, file->name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, file->content.data, file->content.length), file->content.length);
        assert_int_equal(close(fd), 0);
    }
}

void site_keep(struct site *site)
{
    site_settle(site);
    site->kept_now_us = site->now_us;
    site->kept_node_count = site->node_count;
    for (size_t i = 0; i < site->node_count; i++) {
        site->nodes[i]->kept.online = site->nodes[i]->online;
        site_close(site->nodes[i]);
        files_walk(site->nodes[i], kept_file_read);
    }
    site->kept_retained = calloc(site->retained_count + 1, sizeof(Groupseal__Secenv__Publish *));
    assert_non_null(site->kept_retained);
    for (size_t i = 0; i < site->retained_count; i++) {
        site->kept_retained[site->kept_retained_count++] = site_publish_copy(site->retained[i]);
    }
    site_return(site);
}

void site_return(struct site *site)
{
    assert_int_equal(site->node_count, site->kept_node_count);
    queue_forget(site, NULL);
    retained_clear(&site->retained, &site->retained_count);
    retained_places_clear(site);
    site->now_us = site->kept_now_us;
    for (size_t i = 0; i < site->kept_retained_count; i++) {
        retain(site, site->kept_retained[i]);
    }
    for (size_t i = 0; i < site->node_count; i++) {
        struct site_node *node = site->nodes[i];
        site_close(node);
        site_events_clear(node);
        kept_files_write(node);
        node_open(node);
        node->online = node->kept.online;
        node->last_id = 0;
        node->failing = false;
        node->failed = false;
    }
    for (size_t i = 0; i < site->node_count; i++) {
        if (site->nodes[i]->online) {
            site_online(site->nodes[i], true);
        }
    }
    site_settle(site);
}

/* ---- power, owners, brokers, clocks ---- */

void site_cut(struct site_node *node, enum power_loss loss, size_t at, uint64_t seed)
{
    power_arm(node->power, loss, at, seed);
}

bool site_down(const struct site_node *node)
{
    return node->down;
}

struct power *site_power(struct site_node *node)
{
    return node->power;
}

void site_owner_lost(struct site_node *node)
{
    struct engine_caller caller = {SOCKET_OWNER, 1};
    queue_forget(node->site, node->name);
    node->subscription_count = 0;
    if (!node->down) {
        node->operations->disconnected(node->engine, &caller);
        node_turn(node);
    }
}

void site_broker_crash(struct site *site)
{
    queue_forget(site, NULL);
    retained_clear(&site->retained, &site->retained_count);
    retained_places_clear(site);
}

void site_clock_step(struct site_node *node, int64_t ms)
{
    node->step_us += ms * 1000;
}

/* ---- carrying ---- */

static struct buffer received(struct site_node *node, const char *from, const char *hop, struct bytes object,
                              Groupseal__Secenv__Code *code)
{
    Groupseal__Secenv__Received content = GROUPSEAL__SECENV__RECEIVED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    struct buffer answer = BUFFER_EMPTY(65536);
    content.identity = node->name;
    content.from = (char *)(uintptr_t)from;
    content.hop = (char *)(uintptr_t)hop;
    content.object = (ProtobufCBinaryData){.len = object.length, .data = (uint8_t *)(uintptr_t)object.data};
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_RECEIVED;
    request.received = &content;
    Groupseal__Secenv__Reply *reply = site_request(node, SOCKET_OWNER, 1, &request);
    *code = reply->code;
    if (reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_ANSWER) {
        struct bytes bytes = {reply->answer->object.data, reply->answer->object.len};
        assert_int_equal(buffer_append(&answer, bytes), RESULT_OK);
    }
    site_reply_free(reply);
    return answer;
}

struct buffer site_received(struct site_node *node, const char *from, const char *hop, struct bytes object)
{
    Groupseal__Secenv__Code code;
    struct buffer answer = received(node, from, hop, object, &code);
    assert_int_equal(code, GROUPSEAL__SECENV__CODE__OK);
    return answer;
}

static struct carried *answer_enqueue(struct site *site, const struct carried *object, struct bytes answer,
                                      const char *failure)
{
    struct carried *carried = carried_new(site, SITE_ANSWER, object->to, object->from, answer);
    carried->token = object->token;
    (void)snprintf(carried->failure, sizeof(carried->failure), "%s", failure);
    return carried;
}

/* The service sends a reply before the events of its batch: the answer stands behind what was last before. */
static void reply_first(struct site *site, struct carried *before, struct carried *answer)
{
    TAILQ_REMOVE(&site->queue, answer, queue);
    if (before != NULL) {
        TAILQ_INSERT_AFTER(&site->queue, before, answer, queue);
    } else {
        TAILQ_INSERT_HEAD(&site->queue, answer, queue);
    }
}

static const struct stranger *stranger_find(const struct site *site, const char *name)
{
    for (size_t i = 0; i < site->stranger_count; i++) {
        if (strcmp(site->strangers[i].name, name) == 0) {
            return &site->strangers[i];
        }
    }
    return NULL;
}

void site_stranger_add(struct site *site, const char *name, site_stranger take, void *context)
{
    assert_true(site->stranger_count < 16u);
    struct stranger *stranger = &site->strangers[site->stranger_count++];
    (void)snprintf(stranger->name, sizeof(stranger->name), "%s", name);
    stranger->take = take;
    stranger->context = context;
}

static void object_deliver(struct site *site, const struct carried *carried, bool answer_too)
{
    struct site_node *node = node_find(site, carried->to);
    const struct stranger *stranger = stranger_find(site, carried->to);
    const struct bytes none = {NULL, 0};
    if (stranger != NULL) {
        struct buffer taken = stranger->take(stranger->context, buffer_bytes(&carried->payload));
        (void)answer_enqueue(site, carried, buffer_bytes(&taken), "");
        buffer_clear(&taken);
        return;
    }
    if (node == NULL || !node->online || node->down) {
        (void)answer_enqueue(site, carried, none, "not in reach");
        return;
    }
    Groupseal__Secenv__Code code;
    struct carried *before = TAILQ_LAST(&site->queue, carried_queue);
    struct buffer answer =
        received(node, carried->from, carried->from, buffer_bytes(&carried->payload), &code);
    if (answer_too) {
        struct carried *enqueued =
            answer_enqueue(site, carried, buffer_bytes(&answer),
                           code == GROUPSEAL__SECENV__CODE__OK ? "" : "secure environment failed");
        if (!node->down) { /* else `before` may be lost with its machine */
            reply_first(site, before, enqueued);
        }
    }
    buffer_clear(&answer);
}

static void answer_deliver(struct site *site, const struct carried *carried, const char *failure)
{
    struct site_node *node = node_find(site, carried->to);
    Groupseal__Secenv__Answered content = GROUPSEAL__SECENV__ANSWERED__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    if (node == NULL || !node->online || node->down) {
        return;
    }
    content.identity = node->name;
    content.token = carried->token;
    if (failure[0] == '\0') {
        content.object = (ProtobufCBinaryData){.len = carried->payload.length, .data = carried->payload.data};
    }
    content.failure = (char *)(uintptr_t)failure;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ANSWERED;
    request.answered = &content;
    (void)owner_request(node, &request);
}

Groupseal__Secenv__Code site_hear(struct site_node *node, const Groupseal__Secenv__Publish *publish,
                                  bool retained)
{
    Groupseal__Secenv__Heard content = GROUPSEAL__SECENV__HEARD__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    content.identity = node->name;
    content.site = publish->site;
    content.group = publish->group;
    content.kind = publish->kind;
    content.sender = publish->sender;
    content.row = publish->row;
    content.column = publish->column;
    content.retained = retained;
    content.payload = publish->payload;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_HEARD;
    request.heard = &content;
    return owner_request(node, &request);
}

static void publish_deliver(struct site *site, const struct carried *carried)
{
    struct site_node *node = node_find(site, carried->to);
    if (node != NULL && node->online && !node->down) {
        (void)site_hear(node, carried->publish, carried->retained);
    }
}

static void carried_drop(struct site *site, const struct carried *carried)
{
    const struct bytes none = {NULL, 0};
    if (carried->what == SITE_OBJECT) {
        (void)answer_enqueue(site, carried, none, "dropped");
    } else if (carried->what == SITE_ANSWER) {
        answer_deliver(site, carried, "dropped");
    }
}

static void carried_deliver(struct site *site, const struct carried *carried, bool first)
{
    switch (carried->what) {
    case SITE_OBJECT:
        object_deliver(site, carried, first);
        break;
    case SITE_ANSWER:
        answer_deliver(site, carried, carried->failure);
        break;
    case SITE_PUBLISH:
        publish_deliver(site, carried);
        break;
    }
}

static enum site_fate fate_of(struct site *site, const struct carried *carried)
{
    struct site_message message = {.what = carried->what,
                                   .from = carried->from,
                                   .to = carried->to,
                                   .payload = buffer_bytes(&carried->payload),
                                   .publish = carried->publish};
    if (site->hook == NULL || (carried->what == SITE_ANSWER && carried->failure[0] != '\0')) {
        return SITE_DELIVER;
    }
    return site->hook(site->hook_context, &message);
}

static void carry_one(struct site *site)
{
    struct carried *carried = TAILQ_FIRST(&site->queue);
    TAILQ_REMOVE(&site->queue, carried, queue);
    enum site_fate fate = carried->was_late ? SITE_DELIVER : fate_of(site, carried);
    if (fate == SITE_LATER) {
        carried->was_late = true;
        TAILQ_INSERT_TAIL(&site->queue, carried, queue);
        return;
    }
    if (fate == SITE_DROP) {
        carried_drop(site, carried);
    } else if (fate != SITE_LOSE) {
        carried_deliver(site, carried, true);
        if (fate == SITE_TWICE) {
            carried_deliver(site, carried, false);
        }
    }
    carried_free(carried);
}

void site_settle(struct site *site)
{
    size_t steps = 0;
    bool quiet = false;
    while (!quiet) {
        quiet = true;
        while (!TAILQ_EMPTY(&site->queue)) {
            quiet = false;
            carry_one(site);
            assert_true(++steps < STEPS_LIMIT); /* it does not come to rest */
        }
        for (size_t i = 0; i < site->node_count; i++) {
            if (!site->nodes[i]->down && site->nodes[i]->next_us <= site_monotonic(site)) {
                quiet = false;
                node_turn(site->nodes[i]);
                assert_true(++steps < STEPS_LIMIT);
            }
        }
    }
}

static uint64_t site_next(const struct site *site)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < site->node_count; i++) {
        const struct site_node *node = site->nodes[i];
        next = !node->down && node->next_us < next ? node->next_us : next;
    }
    return next;
}

void site_advance(struct site *site, uint64_t ms)
{
    uint64_t target = site_monotonic(site) + ms * 1000u;
    site_settle(site);
    while (site_next(site) < target) {
        site->now_us = site_next(site) - MONOTONIC_START_US;
        site_settle(site);
    }
    site->now_us = target - MONOTONIC_START_US;
    site_settle(site);
}

/* ---- operator ---- */

void site_enrol(struct site *site, const char *name, enum identity_kind kind, enum credentials_mode mode,
                const char *at, const char *function)
{
    struct new_member member;
    new_member_init(&member, name, kind, mode, at, function);
    Groupseal__Secenv__NewMember *members[] = {&member.member};
    assert_int_equal(operator_add(site, members, 1), GROUPSEAL__SECENV__CODE__OK);
}

struct site_node *site_join(struct site *site, const char *name, enum identity_kind kind,
                            enum credentials_mode mode, const char *at, const char *function)
{
    struct site_node *node = site_provision(site, name, kind, mode);
    site_enrol(site, name, kind, mode, at, function);
    site_online(node, true);
    site_settle(site);
    return node;
}

void site_group(struct site *site, const char *name, const char *function, const char *at)
{
    Groupseal__Secenv__GroupCreate group = GROUPSEAL__SECENV__GROUP_CREATE__INIT;
    char *sites[] = {(char *)(uintptr_t)at};
    group.name = (char *)(uintptr_t)name;
    group.function = (char *)(uintptr_t)function;
    group.sites = sites;
    group.n_sites = 1;
    group.authority_only = 1;
    assert_int_equal(operator_create(site, &group), GROUPSEAL__SECENV__CODE__OK);
}

/* ---- what happened ---- */

size_t site_event_count(const struct site_node *node)
{
    return node->recorded.count;
}

const Groupseal__Secenv__Event *site_event(const struct site_node *node, size_t index)
{
    assert_true(index < node->recorded.count);
    return node->recorded.items[index].event;
}

uint64_t site_event_connection(const struct site_node *node, size_t index)
{
    assert_true(index < node->recorded.count);
    return node->recorded.items[index].connection;
}

void site_events_clear(struct site_node *node)
{
    events_cut(&node->recorded, 0);
}

const Groupseal__Secenv__Event *site_last_event(const struct site_node *node,
                                                Groupseal__Secenv__Event__ContentCase content)
{
    for (size_t i = node->recorded.count; i > 0; i--) {
        if (node->recorded.items[i - 1].event->content_case == content) {
            return node->recorded.items[i - 1].event;
        }
    }
    return NULL;
}

static bool is_listed(char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool site_in_roster(const struct site_node *mn, const char *group, const char *name)
{
    bool in = false;
    for (size_t i = 0; i < mn->recorded.count; i++) {
        const Groupseal__Secenv__Event *event = mn->recorded.items[i].event;
        if (event->content_case != GROUPSEAL__SECENV__EVENT__CONTENT_ROSTER ||
            strcmp(event->roster->group, group) != 0) {
            continue;
        }
        const Groupseal__Secenv__RosterEvent *told = event->roster;
        bool whole = told->deleted || (told->pages != 0 && told->page == 0);
        in = in && !whole && !is_listed(told->left, told->n_left, name);
        in = in || is_listed(told->members, told->n_members, name);
    }
    return in;
}

/* ---- digest ---- */

struct names {
    char text[64][128];
    size_t count;
};

static enum result name_read(void *context, const struct store_row *row, struct reason *why)
{
    struct names *names = context;
    (void)why;
    assert_true(names->count < 64u);
    (void)snprintf(names->text[names->count++], 128, "%s", row_text(row, 0));
    return RESULT_OK;
}

static enum result line_read(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    fields_text(context, row_text(row, 0));
    return RESULT_OK;
}

/* The statement cache goes by the address of the text: these live as long as the process. */
static const char *lasting_select(const char *columns, const char *table)
{
    static char *texts[1024];
    static size_t count;
    char *text = NULL;
    assert_true(asprintf(&text, "SELECT %s FROM %s ORDER BY 1", columns, table) > 0);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(texts[i], text) == 0) {
            free(text);
            return texts[i];
        }
    }
    assert_true(count < 1024u);
    texts[count++] = text;
    return text;
}

/* Each row of the table as one text, its values as SQLite would quote them. */
static void table_lines(struct store *store, const char *table, store_each each, void *context)
{
    struct names columns = {.count = 0};
    char expression[4096] = "";
    ASSERT_OK(
        store_query(store, &why, name_read, &columns, "SELECT name FROM pragma_table_info(?)", "t", table));
    for (size_t i = 0; i < columns.count; i++) {
        size_t length = strlen(expression);
        (void)snprintf(expression + length, sizeof(expression) - length, "%squote(%s)",
                       i == 0 ? "" : "||','||", columns.text[i]);
    }
    ASSERT_OK(store_query(store, &why, each, context, lasting_select(expression, table), ""));
}

static void tables_read(struct store *store, struct names *out)
{
    ASSERT_OK(store_query(store, &why, name_read, out,
                          "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                          " ORDER BY name",
                          ""));
}

void site_digest(struct site_node *node, uint8_t out[32])
{
    struct names tables = {.count = 0};
    struct fields list;
    fields_init(&list);
    tables_read(node->store, &tables);
    for (size_t i = 0; i < tables.count; i++) {
        fields_text(&list, tables.text[i]);
        table_lines(node->store, tables.text[i], line_read, &list);
    }
    assert_int_equal(hash_fields(&list, out), RESULT_OK);
    fields_clear(&list);
}

struct mention {
    const char *text;
    const char *table;
    const char *found; /* the table */
};

static enum result mention_read(void *context, const struct store_row *row, struct reason *why)
{
    struct mention *mention = context;
    (void)why;
    if (strcasestr(row_text(row, 0), mention->text) != NULL) {
        mention->found = mention->table;
    }
    return RESULT_OK;
}

bool site_mentions(struct site_node *node, const char *text, const char *but)
{
    struct names tables = {.count = 0};
    struct mention mention = {.text = text};
    tables_read(node->store, &tables);
    for (size_t i = 0; i < tables.count; i++) {
        mention.table = tables.text[i];
        if (but == NULL || strcmp(but, mention.table) != 0) {
            table_lines(node->store, mention.table, mention_read, &mention);
        }
    }
    if (mention.found != NULL) {
        print_message("%s: \"%s\" is in table %s\n", node->name, text, mention.found);
    }
    return mention.found != NULL;
}
