/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/notices.h"

#include "secenv/authority/authority.h"

#include <stdarg.h>
#include <stdio.h>

#define TEXT_SIZE 480u
#define HIDDEN_SIZE 48u

static struct notices_account *account_of(struct notices_account *accounts, const char *originator)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = originator; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    }
    return &accounts[hash % NOTICES_ACCOUNTS];
}

static bool account_has_room(struct notices_account *account, uint64_t now_us, uint64_t window_us,
                             unsigned limit)
{
    if (now_us - account->since_us >= window_us) {
        account->since_us = now_us;
        account->told = 0;
    }
    return account->told < limit;
}

/* `all`: the account of everybody, or NULL. False: the time is not now. */
static bool account_take(struct notices_account *account, struct notices_account *all, uint64_t now_us,
                         unsigned *hidden)
{
    if (!account_has_room(account, now_us, NOTICES_EACH_US, NOTICES_EACH) ||
        (all != NULL && !account_has_room(all, now_us, NOTICES_ALL_US, NOTICES_ALL))) {
        account->hidden++;
        return false;
    }
    if (all != NULL) {
        all->told++;
    }
    account->told++;
    *hidden = account->hidden;
    account->hidden = 0;
    return true;
}

/* What was hidden, as the end of a text. */
static void hidden_text(unsigned hidden, char out[HIDDEN_SIZE])
{
    out[0] = '\0';
    if (hidden != 0) {
        (void)snprintf(out, HIDDEN_SIZE, " (and %u more, not shown)", hidden);
    }
}

enum result notice_of_peer(struct engine *engine, const char *originator,
                           Groupseal__Secenv__Severity severity, const char *format, ...)
{
    char text[TEXT_SIZE];
    char end[HIDDEN_SIZE];
    unsigned hidden = 0;
    struct notices *notices = &engine->notices;
    if (!account_take(account_of(notices->notices, originator), &notices->all,
                      clock_monotonic_us(engine->clock), &hidden)) {
        return RESULT_OK;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    hidden_text(hidden, end);
    return authority_notice(engine, severity, "%s%s", text, end);
}

void log_of_peer(struct engine *engine, const char *originator, const char *format, ...)
{
    char text[TEXT_SIZE];
    char end[HIDDEN_SIZE];
    unsigned hidden = 0;
    if (!account_take(account_of(engine->notices.lines, originator), NULL, clock_monotonic_us(engine->clock),
                      &hidden)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    hidden_text(hidden, end);
    log_line(LOG_LEVEL_INFO, "%s%s", text, end);
}
