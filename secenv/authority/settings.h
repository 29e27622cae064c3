/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_SETTINGS_H
#define GROUPSEAL_SECENV_AUTHORITY_SETTINGS_H

#include "secenv.pb-c.h"
#include "secenv/arena.h"
#include "secenv/store.h"

/* What the operator sets for the whole authority. */
struct engine;

#define LEAF_AGE_DEFAULT_S 2592000u
#define LEAF_AGE_LEAST_S 60u
#define LEAF_AGE_LIMIT_S 31536000u
#define LEAF_AGE_NEVER UINT32_MAX /* in the request */
#define COLLECT_DEFAULT_MS 100u
#define COLLECT_LIMIT_MS 60000u
#define COLLECT_NEVER UINT32_MAX /* in the request */

struct settings {
    uint32_t leaf_age_s; /* a member is asked for a new authentication then; 0: never */
    uint32_t collect_ms; /* from the first member that comes to the change of its groups; 0: at once */
};

extern const char settings_schema[];

/* When (monotonic) the groups of a member that has come now change: those that come until then share the
 * change. 0: at once. Who leaves does not wait for it. */
uint64_t settings_collected_us(const struct engine *engine) MUST_USE;

enum result settings_load(struct store *store, struct settings *out, struct reason *why) MUST_USE;
/* Operator: sets what the request names, and tells all. */
enum result settings_change(struct engine *engine, const Groupseal__Secenv__Settings *request,
                            struct arena *arena, Groupseal__Secenv__SettingsReply **out,
                            struct reason *why) MUST_USE;

#endif
