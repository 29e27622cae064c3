/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_SITE_H
#define GROUPSEAL_TESTS_UNIT_SITE_H

#include "secenv/credentials.h"
#include "secenv/engine.h"
#include "tests/unit/power.h"

/*
 * A fleet in one process, for tests: one authority's engine, any number of members' engines, each with a
 * store of its own in a temporary directory, one clock that only the test moves, and in the place of agents,
 * plugin and broker a queue that carries objects, answers and publishes by name. Everything that goes wrong
 * in the harness itself fails the test. Not thread-safe; one site at a time.
 */
struct site;
struct site_node;

#define SITE_AUTHORITY "//sp.example/in-cse"
#define SITE_MN_CSE "//sp.example/mn-1"
#define SITE_OPERATOR_CONNECTION 7u

/* A new site: authority provisioned with a certificate, open and online, members that come collected for no
 * time
 * (`in-cse settings --collect off`); nobody in its roster. */
struct site *site_new(void);
void site_free(struct site *site); /* closes all, removes the directories; NULL is allowed */

struct site_node *site_authority(struct site *site);
struct site_node *site_find(struct site *site, const char *name); /* fails where there is none */

/* A member with its own store, provisioned, engine open, offline, not in the roster. The PSK is
 * site_psk(name), its identity the name. */
struct site_node *site_provision(struct site *site, const char *name, enum identity_kind kind,
                                 enum credentials_mode mode);
void site_psk(const char *name, struct secret *out);
/* The operator adds it to the roster: `at` is the absolute CSE-ID of its MN-CSE (NULL for an MN-CSE),
 * `function` its function (NULL: none). */
void site_enrol(struct site *site, const char *name, enum identity_kind kind, enum credentials_mode mode,
                const char *at, const char *function);
/* Provisions, enrols, brings online and settles. */
struct site_node *site_join(struct site *site, const char *name, enum identity_kind kind,
                            enum credentials_mode mode, const char *at, const char *function);
/* The operator creates a group at one MN-CSE, authority only, defaults for the rest. */
void site_group(struct site *site, const char *name, const char *function, const char *at);

/* The owner's connection to its broker; an offline node gets nothing, what is carried to it is lost. */
void site_online(struct site_node *node, bool online);
/* Closes engine and store (as a SIGKILL after the last commit would) and opens them again; online as before.
 */
void site_restart(struct site_node *node);
/* The two halves, for a test that does something to the store's directory in between. */
void site_close(struct site_node *node);
void site_reopen(struct site_node *node);

/* The owner's or another connection is gone; harness and engine take the node offline with the owner's (1).
 */
void site_disconnect(struct site_node *node, enum socket_kind socket, uint64_t connection);

/* Keeps what stores, broker and clock are now; whatever happens then, site_return puts it back, with the same
 * nodes, online as they were. For programs that try many things on one site. */
void site_keep(struct site *site);
void site_return(struct site *site);

/*
 * The power of a node goes off at the `at`-th point from now: at the writes of its store (where the test has
 * called power_install before site_new), and where a request comes or a reply or event leaves. Then it is
 * down, what it had to say is lost, and a request to it has a reply with the code STORE and SITE_LOST. With
 * POWER_OFF and POWER_TORN its owner's machine is off too: what is on its way from and to it is lost, and its
 * monotonic clock starts anew. site_reopen starts it; it is down again where the power goes off meanwhile.
 */
#define SITE_LOST "its power went off"
void site_cut(struct site_node *node, enum power_loss loss, size_t at, uint64_t seed);
bool site_down(const struct site_node *node);
struct power *site_power(struct site_node *node);
/* Its owner is killed, with what was on its way from and to it. site_online(true): there is a new one. */
void site_owner_lost(struct site_node *node);
/* What is on its way is lost, and all that is retained. Its clients come back by site_online. */
void site_broker_crash(struct site *site);
/* The wall clock of a node's machine is set by so much; other nodes' is as it was. */
void site_clock_step(struct site_node *node, int64_t ms);
/* Between site_close and site_reopen: the machine was off, its monotonic clock starts anew. */
void site_boot(struct site_node *node);

/* The node's `at`-th event from now on (0: the next) cannot be taken: its request or turn fails and is
 * undone, as in the service; a turn is tried again a second later. True from site_failed once that has
 * happened. */
void site_fail_event(struct site_node *node, size_t at);
bool site_failed(const struct site_node *node);

/* The node whose engine is running, for what hears from inside of it (secret_note); NULL: none is. */
const struct site_node *site_at_work(void);

const char *site_name(const struct site_node *node);
struct engine *site_engine(struct site_node *node);
struct store *site_store(struct site_node *node);
const char *site_directory(const struct site_node *node);

/*
 * One request, as a batch of its own, as the service does it: begin, savepoint, request, release or rollback,
 * turn, commit; then its events go into the queue. The reply is the caller's (site_reply_free); its `code` is
 * set. Nothing is carried before site_settle.
 */
Groupseal__Secenv__Reply *site_request(struct site_node *node, enum socket_kind socket, uint64_t connection,
                                       Groupseal__Secenv__ToSecenv *request);
/* Several of the operator's, which came together: one batch. */
void site_requests(struct site_node *node, Groupseal__Secenv__ToSecenv *const *requests, size_t count,
                   Groupseal__Secenv__Reply **replies);
void site_reply_free(Groupseal__Secenv__Reply *reply);

/* An end-to-end object by hand, as if it came in a NOTIFY request: the answer's object (empty: none). */
struct buffer site_received(struct site_node *node, const char *from, const char *hop, struct bytes object);

/* A receiver that the test plays by hand: what is sent to `name` goes to `take`, which returns the answer's
 * object (owned by the site then; empty: none). */
typedef struct buffer (*site_stranger)(void *context, struct bytes object);
void site_stranger_add(struct site *site, const char *name, site_stranger take, void *context);

/* The identity's credentials, as site_provision gives them (buffers: the caller's, identity_clear). */
void site_identity(struct site *site, const char *name, enum identity_kind kind, enum credentials_mode mode,
                   struct identity *out);
const char *site_scratch(const struct site *site); /* the site's directory */

/* The caller's (groupseal__secenv__publish__free_unpacked). */
Groupseal__Secenv__Publish *site_publish_copy(const Groupseal__Secenv__Publish *publish);

/* Carries everything and turns every engine until nothing is left to do at this time. */
void site_settle(struct site *site);
/* Moves the clock by `ms`, stopping wherever an engine asked for a turn; settles at each stop. */
void site_advance(struct site *site, uint64_t ms);
uint64_t site_now_ms(const struct site *site); /* wall clock */
const struct clock_source *site_clock(struct site *site);

/*
 * What the queue carries, for the hook: decides for each receiver. LATER: behind everything that waits now
 * (once). A dropped object is answered with a failure, as the hop's time-out would be; nobody hears what
 * became of a lost one.
 */
enum site_fate { SITE_DELIVER, SITE_DROP, SITE_LOSE, SITE_TWICE, SITE_LATER };
enum site_what { SITE_OBJECT, SITE_ANSWER, SITE_PUBLISH };
struct site_message {
    enum site_what what;
    const char *from;
    const char *to;
    struct bytes payload;                      /* an EndToEnd, or the topic's payload */
    const Groupseal__Secenv__Publish *publish; /* SITE_PUBLISH */
};
typedef enum site_fate (*site_hook)(void *context, const struct site_message *message);
void site_carry(struct site *site, site_hook hook, void *context); /* NULL: deliver all */

/*
 * Topics. A member that was Joined hears cmd, epoch, policy, the blocks that Joined named and the others' msg
 * of its sites; an MN-CSE hears msg and ack of its groups; nobody hears its own. What is retained is given on
 * Joined and Resubscribe, and to a member that comes online. `site_retained`: the stored payload, empty where
 * there is none.
 */
struct bytes site_retained(struct site *site, const char *mn_site, const char *group,
                           Groupseal__Secenv__TopicKind kind);
/* As if the broker had this on its disk. */
void site_retain(struct site *site, const Groupseal__Secenv__Publish *publish);
/* As if the broker gave it this publish. Returns the reply's code. */
Groupseal__Secenv__Code site_hear(struct site_node *node, const Groupseal__Secenv__Publish *publish,
                                  bool retained);

/* What has been published since site_traffic_clear to be retained: the news of changes. Blocks of the tree
 * are for those whose path they are on.
 */
struct site_traffic {
    size_t publishes;
    size_t largest; /* bytes of a payload */
    size_t everybodys_bytes;
    size_t row_bytes[5]; /* of a row's blocks */
};
struct site_traffic site_traffic(const struct site *site);
void site_traffic_clear(struct site *site);

/* CPU time of a node's engine and store, commits included, in its requests and turns so far. */
uint64_t site_cpu_us(const struct site_node *node);

/* Events of a node since the last site_events_clear, Send and Publish left out; `connection` 0: the owner's.
 */
size_t site_event_count(const struct site_node *node);
const Groupseal__Secenv__Event *site_event(const struct site_node *node, size_t index);
uint64_t site_event_connection(const struct site_node *node, size_t index);
void site_events_clear(struct site_node *node);
/* The newest event of this content, or NULL. */
const Groupseal__Secenv__Event *site_last_event(const struct site_node *node,
                                                Groupseal__Secenv__Event__ContentCase content);

/* The MN-CSE has told its plugin, since the last site_events_clear, that this member is in the group's
 * roster. */
bool site_in_roster(const struct site_node *mn, const char *group, const char *name);

/* SHA-256 over every row of every table of the node's store. */
void site_digest(struct site_node *node, uint8_t out[32]);
/* Some row of the node's store, but for table `but` (NULL: none), holds this text, bytes in hexadecimal; it
 * is said which table. */
bool site_mentions(struct site_node *node, const char *text, const char *but);

#endif
