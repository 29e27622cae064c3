/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/audit.h"

static uint64_t counters[AUDIT_COUNT];

static const char *const names[AUDIT_COUNT] = {
#define AUDIT_NAME(name, text) text,
    AUDIT_LIST(AUDIT_NAME)
#undef AUDIT_NAME
};

void audit_count(enum audit_counter counter)
{
    counters[counter]++;
}

void audit_add(enum audit_counter counter, uint64_t amount)
{
    counters[counter] += amount;
}

uint64_t audit_value(enum audit_counter counter)
{
    return counters[counter];
}

const char *audit_name(enum audit_counter counter)
{
    return names[counter];
}
