/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/report.h"

#include "agents/in-cse/json_line.h"
#include "agents/in-cse/table.h"
#include "agents/in-cse/words.h"

#include <search.h>
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

static int row_compare(const void *left, const void *right)
{
    return strcmp(((const struct report_row *)left)->name, ((const struct report_row *)right)->name);
}

static void row_free(struct report_row *row)
{
    free(row->name);
    free(row->site);
    free(row->detail);
    free(row);
}

static bool room_make(struct report *report)
{
    if (report->count < report->room) {
        return true;
    }
    size_t room = report->room == 0 ? 64 : report->room * 2;
    struct report_row **rows =
        room <= ROWS_LIMIT ? reallocarray(report->rows, room, sizeof(struct report_row *)) : NULL;
    if (rows == NULL) {
        return false;
    }
    report->rows = rows;
    report->room = room;
    return true;
}

/* The member's row, made where it has none; NULL: out of memory. */
static struct report_row *row_of(struct report *report, const char *name)
{
    const struct report_row wanted = {.name = (char *)(uintptr_t)name};
    struct report_row *const *found = tfind(&wanted, &report->index, row_compare);
    if (found != NULL) {
        return *found;
    }
    struct report_row *row = room_make(report) ? calloc(1, sizeof(*row)) : NULL;
    if (row == NULL) {
        return NULL;
    }
    row->name = strdup(name);
    if (row->name == NULL || tsearch(row, &report->index, row_compare) == NULL) {
        row_free(row);
        return NULL;
    }
    report->rows[report->count++] = row;
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
    struct report_row *row = row_of(report, news->name);
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
        (news->refused[0] != '\0' && !text_set(&report->refused, news->refused)) ||
        (news->commander[0] != '\0' && !text_set(&report->commander, news->commander))) {
        return false;
    }
    report->issued_ms = news->issued_ms;
    for (size_t i = 0; i < news->n_rows; i++) {
        if (!row_merge(report, news->rows[i])) {
            return false;
        }
    }
    report->heard = true;
    report->complete = news->complete != 0 && news->page + 1 >= news->pages;
    return true;
}

static void row_kept(void *row)
{
    (void)row; /* the array frees it */
}

void report_clear(struct report *report)
{
    tdestroy(report->index, row_kept);
    for (size_t i = 0; i < report->count; i++) {
        row_free(report->rows[i]);
    }
    free(report->rows);
    free(report->group);
    free(report->refused);
    free(report->commander);
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
        switch (report->rows[i]->outcome) {
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
    json_line_text(object, "commander", report->commander);
    json_line_time(object, "issued", report->issued_ms);
    cJSON_AddNumberToObject(object, "done", (double)tally.done);
    cJSON_AddNumberToObject(object, "accepted", (double)tally.accepted);
    cJSON_AddNumberToObject(object, "no_answer", (double)tally.silent);
    cJSON_AddNumberToObject(object, "not_done", (double)tally.wrong);
    cJSON *members = cJSON_AddArrayToObject(object, "members");
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = report->rows[i];
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
    if (report->commander != NULL) {
        char when[WORDS_TIME_SIZE];
        words_time(report->issued_ms, when);
        printf("given by %s itself, %s\n", report->commander, when);
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = report->rows[i];
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
