/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/schedules/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEDGERS_LIMIT 64u

struct entry {
    struct secret secret;
    bool own;
};

struct ledger {
    const struct site_node *node;
    struct entry *entries;
    size_t count;
    size_t capacity;
};

static struct ledger ledgers[LEDGERS_LIMIT];
static size_t ledger_total;

static struct ledger *ledger_find(const struct site_node *node)
{
    for (size_t i = 0; i < ledger_total; i++) {
        if (ledgers[i].node == node) {
            return &ledgers[i];
        }
    }
    return NULL;
}

static struct ledger *ledger_take(const struct site_node *node)
{
    struct ledger *ledger = ledger_find(node);
    if (ledger == NULL) {
        if (ledger_total == LEDGERS_LIMIT) {
            abort();
        }
        ledger = &ledgers[ledger_total++];
        *ledger = (struct ledger){.node = node};
    }
    if (ledger->count == ledger->capacity) {
        ledger->capacity = ledger->capacity == 0 ? 1024 : 2 * ledger->capacity;
        ledger->entries = realloc(ledger->entries, ledger->capacity * sizeof(*ledger->entries));
        if (ledger->entries == NULL) {
            abort();
        }
    }
    return ledger;
}

static bool is_own(const char *kind)
{
    static const char *const kinds[] = {"leaf secret", "association", "member signing key", "PSK"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            return true;
        }
    }
    return false;
}

void secret_note(const char *kind, const void *data, size_t length)
{
    const struct site_node *node = site_at_work();
    if (node == NULL || length != SECRET_SIZE) {
        return;
    }
    struct ledger *ledger = ledger_take(node);
    struct entry *entry = &ledger->entries[ledger->count++];
    memcpy(entry->secret.data, data, SECRET_SIZE);
    entry->own = is_own(kind);
}

void ledgers_clear(void)
{
    for (size_t i = 0; i < ledger_total; i++) {
        secret_wipe_bytes(ledgers[i].entries, ledgers[i].capacity * sizeof(*ledgers[i].entries));
        free(ledgers[i].entries);
    }
    ledger_total = 0;
}

size_t ledger_count(const struct site_node *node)
{
    const struct ledger *ledger = ledger_find(node);
    return ledger == NULL ? 0 : ledger->count;
}

void ledger_learn(const struct site_node *node, size_t count, struct closure *closure)
{
    const struct ledger *ledger = ledger_find(node);
    for (size_t i = 0; ledger != NULL && i < count; i++) {
        closure_learn(closure, &ledger->entries[i].secret);
    }
}

bool ledger_own_is_known(const struct site_node *node, const struct closure *closure)
{
    const struct ledger *ledger = ledger_find(node);
    for (size_t i = 0; ledger != NULL && i < ledger->count; i++) {
        if (ledger->entries[i].own && closure_knows(closure, &ledger->entries[i].secret)) {
            return true;
        }
    }
    return false;
}
