/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_REPORT_H
#define GROUPSEAL_AGENTS_IN_CSE_REPORT_H

#include "agents/in-cse/operator.h"

/*
 * What the members did with a command: OrderReports, merged as they come (pages, and again with each change;
 * the newest row of a member counts).
 */
#define COMMAND_ID_SIZE ((size_t)16)

struct report_row {
    char *name;
    char *site;
    char *detail;
    Groupseal__Secenv__Outcome outcome;
    bool late;
};

struct report {
    uint8_t command_id[COMMAND_ID_SIZE];
    char *group;
    char *refused;            /* by an MN-CSE: which and why; NULL where none did */
    char *commander;          /* the MN-CSE that has given it by itself; NULL: the operator has */
    uint64_t issued_ms;       /* by the commander's clock; 0: not told */
    struct report_row **rows; /* in the order of their first report */
    void *index;              /* the same by name: a tree of tsearch(3) */
    size_t count;
    size_t room;
    bool complete; /* nothing more comes */
    bool heard;    /* a report came */
};

/* Merges one. False: out of memory, or it is of another command. */
bool report_merge(struct report *report, const Groupseal__Secenv__OrderReport *news);
void report_clear(struct report *report);

/* The exit status that this report means: EXIT_DONE where every member is done. */
enum exit_code report_exit_code(const struct report *report);
/* A table, or one JSON object. Returns -1 where memory was out. */
int report_print(const struct report *report, bool json);

#endif
