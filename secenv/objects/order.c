/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/objects/list.h"

#include <string.h>

typedef Groupseal__Envelope__Order Order;

static enum result order_limits(const Order *order, struct bytes body, struct reason *why)
{
    if (!field_sized(order->command_id, COMMAND_ID_SIZE)) {
        return result_fail(why, RESULT_INVALID, "an order's command id is not of %u bytes", COMMAND_ID_SIZE);
    }
    if (body.length > BODY_LIMIT) {
        return result_fail(why, RESULT_INVALID, "an order's body is longer than %u bytes", BODY_LIMIT);
    }
    if (!names_valid(order->targets, order->n_targets, TARGETS_LIMIT)) {
        return result_fail(why, RESULT_INVALID, "an order's target is malformed, or there are more than %u",
                           TARGETS_LIMIT);
    }
    if (!sites_valid(order->sites, order->n_sites, RELAYS_LIMIT)) {
        return result_fail(why, RESULT_INVALID, "an order's site is malformed, or there are more than %u",
                           RELAYS_LIMIT);
    }
    if (!text_empty(order->commander) && !object_name_valid(order->commander)) {
        return result_fail(why, RESULT_INVALID, "an order's commander is no absolute id");
    }
    return RESULT_OK;
}

static enum result order_list(const Order *order, const uint8_t instance[INSTANCE_SIZE], uint64_t incarnation,
                              struct bytes body, struct fields *list)
{
    uint8_t body_hash[HASH_SIZE];
    GUARD(hash_bytes(body, body_hash));
    fields_init(list);
    fields_label(list, "order");
    fields_fix(list, (struct bytes){instance, INSTANCE_SIZE}, INSTANCE_SIZE);
    fields_u64(list, incarnation);
    list_texts(list, order->sites, order->n_sites);
    list_fix(list, order->command_id, COMMAND_ID_SIZE);
    fields_u64(list, order->issued_ms);
    fields_u64(list, order->expires_ms);
    list_texts(list, order->targets, order->n_targets);
    fields_fix(list, BYTES_OF(body_hash), HASH_SIZE);
    return RESULT_OK;
}

enum result order_hash(const Order *order, const uint8_t instance[INSTANCE_SIZE], uint64_t incarnation,
                       struct bytes body, uint8_t out[HASH_SIZE])
{
    struct fields list;
    GUARD(order_limits(order, body, NULL));
    GUARD(order_list(order, instance, incarnation, body, &list));
    enum result result = hash_fields(&list, out);
    fields_clear(&list);
    return result;
}

enum result command_hash(const Groupseal__Envelope__Command *command, const uint8_t instance[INSTANCE_SIZE],
                         uint64_t incarnation, uint8_t out[HASH_SIZE])
{
    struct bytes body = {command->body.data, command->body.len};
    struct bytes wanted = {command->wanted.data, command->wanted.len};
    struct fields list;
    if (wanted.length % SERIAL_SIZE != 0 || wanted.length / SERIAL_SIZE > WANTED_LIMIT) {
        return RESULT_INVALID;
    }
    GUARD(order_hash(command->order, instance, incarnation, body, out));
    if (wanted.length == 0) {
        return RESULT_OK;
    }
    fields_init(&list);
    fields_label(&list, "wanted");
    fields_fix(&list, (struct bytes){out, HASH_SIZE}, HASH_SIZE);
    fields_var(&list, wanted);
    enum result result = hash_fields(&list, out);
    fields_clear(&list);
    return result;
}

bool command_wants(const Groupseal__Envelope__Command *command, uint64_t serial)
{
    uint8_t packed[SERIAL_SIZE];
    for (size_t i = 0; i < SERIAL_SIZE; i++) {
        packed[i] = (uint8_t)(serial >> (56 - 8 * i));
    }
    for (size_t at = 0; at + SERIAL_SIZE <= command->wanted.len; at += SERIAL_SIZE) {
        if (memcmp(command->wanted.data + at, packed, SERIAL_SIZE) == 0) {
            return true;
        }
    }
    return command->wanted.len == 0;
}

enum result order_sign(Order *order, const uint8_t instance[INSTANCE_SIZE], uint64_t incarnation,
                       struct bytes body, const struct signing_key *commander,
                       uint8_t signature[SIGNATURE_SIZE])
{
    struct fields list;
    GUARD(order_limits(order, body, NULL));
    GUARD(order_list(order, instance, incarnation, body, &list));
    return list_sign(&list, commander, signature, &order->signature);
}

enum result order_at_site(const Order *order, const char *site, struct reason *why)
{
    return sites_include(order->sites, order->n_sites, site)
               ? RESULT_OK
               : result_fail(why, RESULT_REFUSED, "the order is not for site %s", site);
}

enum result order_check(const Order *order, const uint8_t instance[INSTANCE_SIZE], uint64_t incarnation,
                        const char *site, struct bytes body, struct bytes commander_key, struct reason *why)
{
    struct fields list;
    GUARD(order_limits(order, body, why));
    GUARD(order_list(order, instance, incarnation, body, &list));
    GUARD(list_check(&list, commander_key, order->signature, "order", "a commander", why));
    return order_at_site(order, site, why);
}

bool order_is_relays(const Order *order)
{
    return order->signature.len == 0 && text_empty(order->commander);
}

bool order_targets(const Order *order, const char *name)
{
    for (size_t i = 0; i < order->n_targets; i++) {
        if (strcmp(order->targets[i], name) == 0) {
            return true;
        }
    }
    return order->n_targets == 0;
}
