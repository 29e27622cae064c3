/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/list.h"

#include <string.h>

typedef Groupseal__Envelope__Policy Policy;
typedef Groupseal__Envelope__Relay Relay;
typedef Groupseal__Envelope__Commander Commander;

static bool relay_valid(const Relay *relay)
{
    return object_name_valid(relay->name) && object_site_valid(relay->site) &&
           field_sized(relay->key, VERIFY_KEY_SIZE);
}

static bool commander_valid(const Commander *commander)
{
    return object_name_valid(commander->name) && field_sized(commander->key, VERIFY_KEY_SIZE) &&
           sites_valid(commander->sites, commander->n_sites, RELAYS_LIMIT);
}

static bool relay_is_twice(const Policy *policy, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(policy->relays[i]->site, policy->relays[at]->site) == 0 &&
            policy->relays[i]->incarnation == policy->relays[at]->incarnation &&
            policy->relays[i]->serial == policy->relays[at]->serial) {
            return true;
        }
    }
    return false;
}

static bool commander_is_twice(const Policy *policy, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(policy->commanders[i]->name, policy->commanders[at]->name) == 0) {
            return true;
        }
    }
    return false;
}

/* Is a relay by its name or by its key. */
static bool commander_relays(const Policy *policy, const Commander *commander)
{
    for (size_t i = 0; i < policy->n_relays; i++) {
        const Relay *relay = policy->relays[i];
        if (strcmp(relay->name, commander->name) == 0 ||
            memcmp(relay->key.data, commander->key.data, VERIFY_KEY_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static enum result relays_limits(const Policy *policy, struct reason *why)
{
    if (policy->n_relays > RELAYS_LIMIT) {
        return result_fail(why, RESULT_INVALID, "the policy of %s has more than %u relays", policy->group,
                           RELAYS_LIMIT);
    }
    for (size_t i = 0; i < policy->n_relays; i++) {
        if (!relay_valid(policy->relays[i])) {
            return result_fail(why, RESULT_INVALID, "relay %zu of the policy of %s is malformed", i,
                               policy->group);
        }
        if (relay_is_twice(policy, i)) {
            return result_fail(why, RESULT_INVALID, "the policy of %s has relay %s twice", policy->group,
                               policy->relays[i]->name);
        }
    }
    return RESULT_OK;
}

static enum result commanders_limits(const Policy *policy, struct reason *why)
{
    if (policy->n_commanders > COMMANDERS_LIMIT) {
        return result_fail(why, RESULT_INVALID, "the policy of %s has more than %u commanders", policy->group,
                           COMMANDERS_LIMIT);
    }
    for (size_t i = 0; i < policy->n_commanders; i++) {
        const Commander *commander = policy->commanders[i];
        if (!commander_valid(commander)) {
            return result_fail(why, RESULT_INVALID, "commander %zu of the policy of %s is malformed", i,
                               policy->group);
        }
        if (commander_is_twice(policy, i)) {
            return result_fail(why, RESULT_INVALID, "the policy of %s has commander %s twice", policy->group,
                               commander->name);
        }
        if (policy->authority_only && commander_relays(policy, commander)) {
            return result_fail(why, RESULT_INVALID,
                               "the policy of %s says authority only, and its relay %s is a commander",
                               policy->group, commander->name);
        }
    }
    return RESULT_OK;
}

static enum result policy_limits(const Policy *policy, struct reason *why)
{
    if (!object_group_valid(policy->group)) {
        return result_fail(why, RESULT_INVALID, "a policy has no valid group name");
    }
    if (!field_sized(policy->instance, INSTANCE_SIZE)) {
        return result_fail(why, RESULT_INVALID, "the instance in the policy of %s is not of %u bytes",
                           policy->group, INSTANCE_SIZE);
    }
    if (policy->aead != GROUPSEAL__ENVELOPE__AEAD__AEAD_CHACHA20_POLY1305 &&
        policy->aead != GROUPSEAL__ENVELOPE__AEAD__AEAD_AES_256_GCM) {
        return result_fail(why, RESULT_INVALID, "the policy of %s asks for an unknown AEAD", policy->group);
    }
    GUARD(relays_limits(policy, why));
    return commanders_limits(policy, why);
}

/* L of docs/protocol.md section 5, without a label. */
static void policy_fields(const Policy *policy, struct fields *list)
{
    fields_text(list, policy->group);
    list_fix(list, policy->instance, INSTANCE_SIZE);
    fields_u64(list, policy->incarnation);
    fields_u64(list, policy->number);
    fields_u32(list, (uint32_t)policy->n_relays);
    for (size_t i = 0; i < policy->n_relays; i++) {
        const Relay *relay = policy->relays[i];
        fields_text(list, relay->name);
        fields_text(list, relay->site);
        fields_u64(list, relay->incarnation);
        fields_u64(list, relay->serial);
        list_fix(list, relay->key, VERIFY_KEY_SIZE);
    }
    fields_u32(list, (uint32_t)policy->n_commanders);
    for (size_t i = 0; i < policy->n_commanders; i++) {
        const Commander *commander = policy->commanders[i];
        fields_text(list, commander->name);
        list_fix(list, commander->key, VERIFY_KEY_SIZE);
        list_texts(list, commander->sites, commander->n_sites);
    }
    fields_u8(list, (uint8_t)policy->aead);
    fields_u32(list, policy->overlap_ms);
    fields_u32(list, policy->response_window_ms);
    fields_u32(list, policy->beat_interval_s);
    fields_u8(list, policy->refuse_when_overdue ? 1 : 0);
    fields_u8(list, policy->sign_member_messages ? 1 : 0);
    fields_u8(list, policy->authority_only ? 1 : 0);
}

enum result policy_hash(const Policy *policy, uint8_t out[HASH_SIZE])
{
    struct fields list;
    GUARD(policy_limits(policy, NULL));
    fields_init(&list);
    policy_fields(policy, &list);
    enum result result = hash_fields(&list, out);
    fields_clear(&list);
    return result;
}

static void policy_list(const Policy *policy, struct fields *list)
{
    fields_init(list);
    fields_label(list, "policy");
    policy_fields(policy, list);
}

enum result policy_sign(Policy *policy, const struct signing_key *authority,
                        uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(policy_limits(policy, NULL));
    policy_list(policy, &list);
    return list_sign(&list, authority, signature, &policy->signature);
}

enum result policy_check(const Policy *policy, struct bytes authority_key, struct reason *why)
{
    struct fields list;
    GUARD(policy_limits(policy, why));
    policy_list(policy, &list);
    return list_check(&list, authority_key, policy->signature, "policy", policy->group, why);
}

const Relay *policy_relay(const Policy *policy, const char *site, uint64_t incarnation, uint64_t serial)
{
    for (size_t i = 0; i < policy->n_relays; i++) {
        const Relay *relay = policy->relays[i];
        if (strcmp(relay->site, site) == 0 && relay->incarnation == incarnation && relay->serial == serial) {
            return relay;
        }
    }
    return NULL;
}

const Commander *policy_commander(const Policy *policy, const char *name, const char *site)
{
    const Commander *found = NULL;
    if (text_empty(name)) {
        found = policy->n_commanders == 1 ? policy->commanders[0] : NULL;
    }
    for (size_t i = 0; i < policy->n_commanders && !text_empty(name); i++) {
        if (strcmp(policy->commanders[i]->name, name) == 0) {
            found = policy->commanders[i];
        }
    }
    return found != NULL && sites_include(found->sites, found->n_sites, site) ? found : NULL;
}

const Commander *policy_commanding_relay(const Policy *policy, const Relay *relay)
{
    const Commander *commander = policy_commander(policy, relay->name, relay->site);
    return commander != NULL && bytes_equal(arena_view(commander->key), arena_view(relay->key)) ? commander
                                                                                                : NULL;
}
