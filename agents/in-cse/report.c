/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/report.h"

#include "agents/in-cse/json_line.h"
#include "agents/in-cse/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_LIMIT 2000000u

static const char *outcome_word(Groupseal__Secenv__Outcome outcome)
{
    switch (outcome) {
    case GROUPSEAL__SECENV__OUTCOME__ACCEPTED:
        return "accepted";
    case GROUPSEAL__SECENV__OUTCOME__DONE:
        return "done";
    case GROUPSEAL__SECENV__OUTCOME__FAILED:
        return "failed";
    case GROUPSEAL__SECENV__OUTCOME__REFUSED_BY_MEMBER:
        return "refused";
    case GROUPSEAL__SECENV__OUTCOME__NOT_KNOWN:
        return "unknown";
    default:
        return "no answer";
    }
}

static struct report_row *row_find(struct report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++) {
        if (strcmp(report->rows[i].name, name) == 0) {
            return &report->rows[i];
        }
    }
    return NULL;
}

static struct report_row *row_new(struct report *report, const char *name)
{
    if (report->count == report->room) {
        size_t room = report->room == 0 ? 64 : report->room * 2;
        struct report_row *rows = room <= ROWS_LIMIT ? reallocarray(report->rows, room, sizeof(*rows)) : NULL;
        if (rows == NULL) {
            return NULL;
        }
        report->rows = rows;
        report->room = room;
    }
    struct report_row *row = &report->rows[report->count];
    memset(row, 0, sizeof(*row));
    row->name = strdup(name);
    if (row->name == NULL) {
        return NULL;
    }
    report->count++;
    return row;
}

/* Replaces a text by a copy of another. */
static bool text_set(char **place, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return false;
    }
    free(*place);
    *place = copy;
    return true;
}

static bool row_merge(struct report *report, const Groupseal__Secenv__OrderRow *news)
{
    struct report_row *row = row_find(report, news->name);
    if (row == NULL) {
        row = row_new(report, news->name);
    }
    if (row == NULL || !text_set(&row->site, news->site) || !text_set(&row->detail, news->detail)) {
        return false;
    }
    row->outcome = news->outcome;
    row->late = news->late != 0;
    return true;
}

bool report_merge(struct report *report, const Groupseal__Secenv__OrderReport *news)
{
    if (news->command_id.len != COMMAND_ID_SIZE ||
        memcmp(news->command_id.data, report->command_id, COMMAND_ID_SIZE) != 0) {
        return false;
    }
    if (!text_set(&report->group, news->group) ||
        (news->refused[0] != '\0' && !text_set(&report->refused, news->refused))) {
        return false;
    }
    for (size_t i = 0; i < news->n_rows; i++) {
        if (!row_merge(report, news->rows[i])) {
            return false;
        }
    }
    report->heard = true;
    report->complete = news->complete != 0 && news->page + 1 >= news->pages;
    return true;
}

void report_clear(struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->rows[i].name);
        free(report->rows[i].site);
        free(report->rows[i].detail);
    }
    free(report->rows);
    free(report->group);
    free(report->refused);
    memset(report, 0, sizeof(*report));
}

struct tally {
    size_t done;
    size_t accepted;
    size_t silent;
    size_t wrong; /* failed, refused, unknown */
};

static struct tally report_tally(const struct report *report)
{
    struct tally tally = {0};
    for (size_t i = 0; i < report->count; i++) {
        switch (report->rows[i].outcome) {
        case GROUPSEAL__SECENV__OUTCOME__DONE:
            tally.done++;
            break;
        case GROUPSEAL__SECENV__OUTCOME__ACCEPTED:
            tally.accepted++;
            break;
        case GROUPSEAL__SECENV__OUTCOME__NO_ANSWER:
            tally.silent++;
            break;
        default:
            tally.wrong++;
            break;
        }
    }
    return tally;
}

enum exit_code report_exit_code(const struct report *report)
{
    struct tally tally = report_tally(report);
    if (tally.wrong > 0 || report->refused != NULL) {
        return EXIT_MEMBERS;
    }
    return tally.silent > 0 || tally.accepted > 0 || report->count == 0 ? EXIT_NO_ANSWER : EXIT_DONE;
}

static int print_json(const struct report *report)
{
    struct tally tally = report_tally(report);
    cJSON *object = cJSON_CreateObject();
    json_line_hex(object, "command_id", report->command_id, COMMAND_ID_SIZE);
    json_line_text(object, "group", report->group);
    cJSON_AddBoolToObject(object, "complete", report->complete);
    json_line_text(object, "refused", report->refused);
    cJSON_AddNumberToObject(object, "done", (double)tally.done);
    cJSON_AddNumberToObject(object, "accepted", (double)tally.accepted);
    cJSON_AddNumberToObject(object, "no_answer", (double)tally.silent);
    cJSON_AddNumberToObject(object, "not_done", (double)tally.wrong);
    cJSON *members = cJSON_AddArrayToObject(object, "members");
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = &report->rows[i];
        cJSON *member = cJSON_CreateObject();
        json_line_text(member, "name", row->name);
        json_line_text(member, "outcome", outcome_word(row->outcome));
        json_line_text(member, "detail", row->detail);
        cJSON_AddBoolToObject(member, "late", row->late);
        json_line_text(member, "site", row->site);
        cJSON_AddItemToArray(members, member);
    }
    return json_line_put(object);
}

static int print_table(const struct report *report)
{
    static const char *const titles[] = {"MEMBER", "OUTCOME", "DETAIL", "SITE"};
    struct tally tally = report_tally(report);
    struct table *table = table_new(titles, 4);
    if (table == NULL) {
        return -1;
    }
    printf("command ");
    for (size_t i = 0; i < COMMAND_ID_SIZE; i++) {
        printf("%02x", report->command_id[i]);
    }
    printf("\n");
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = &report->rows[i];
        char outcome[32];
        snprintf(outcome, sizeof(outcome), "%s%s", outcome_word(row->outcome), row->late ? ", late" : "");
        const char *cells[] = {row->name, outcome, row->detail, row->site};
        table_row(table, cells);
    }
    int state = table_print(table, "no member has been heard of", stdout);
    table_free(table);
    if (report->refused != NULL) {
        char *clean = table_clean(report->refused);
        printf("not sent: %s\n", clean != NULL ? clean : "");
        free(clean);
    }
    printf("%zu done, %zu accepted, %zu without an answer, %zu failed, refused or unknown%s\n", tally.done,
           tally.accepted, tally.silent, tally.wrong, report->complete ? "" : "; not complete");
    return state;
}

int report_print(const struct report *report, bool json)
{
    return json ? print_json(report) : print_table(report);
}
