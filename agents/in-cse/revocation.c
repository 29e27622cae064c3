/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/arguments.h"
#include "agents/in-cse/commands.h"
#include "agents/in-cse/json_line.h"
#include "agents/in-cse/table.h"
#include "agents/in-cse/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT 64512u /* as much as a request to the secure environment holds */

/* ---- printing ---- */

static int lists_json(const Groupseal__Secenv__Revocations *revocations)
{
    cJSON *object = cJSON_CreateObject();
    cJSON *lists = cJSON_AddArrayToObject(object, "lists");
    for (size_t i = 0; i < revocations->n_lists; i++) {
        const Groupseal__Secenv__RevocationRow *list = revocations->lists[i];
        cJSON *row = cJSON_CreateObject();
        json_line_text(row, "issuer", list->issuer);
        json_line_text(row, "number", list->number);
        json_line_time(row, "this_update", list->this_update_ms);
        json_line_time(row, "next_update", list->next_update_ms);
        cJSON_AddNumberToObject(row, "entries", list->entries);
        cJSON_AddBoolToObject(row, "overdue", list->overdue);
        cJSON_AddItemToArray(lists, row);
    }
    json_line_text(object, "without", revocations->refuses ? "refuse" : "alarm");
    cJSON_AddNumberToObject(object, "members", revocations->members);
    cJSON_AddNumberToObject(object, "members_taken", revocations->members_taken);
    json_line_texts(object, "revoked", revocations->revoked, revocations->n_revoked);
    return json_line_put(object);
}

static int lists_print(const Groupseal__Secenv__Revocations *revocations)
{
    static const char *const titles[] = {"CA", "NUMBER", "ISSUED", "RUNS OUT", "ENTRIES"};
    struct table *table = table_new(titles, 5);
    if (table == NULL) {
        return -1;
    }
    for (size_t i = 0; i < revocations->n_lists; i++) {
        const Groupseal__Secenv__RevocationRow *list = revocations->lists[i];
        char issued[WORDS_TIME_SIZE];
        char next[WORDS_TIME_SIZE + 16];
        char until[WORDS_TIME_SIZE];
        char entries[16];
        words_time(list->this_update_ms, issued);
        words_time(list->next_update_ms, until);
        snprintf(next, sizeof(next), "%s%s", until, list->overdue ? " (overdue)" : "");
        snprintf(entries, sizeof(entries), "%" PRIu32, list->entries);
        const char *cells[] = {list->issuer, list->number, issued, next, entries};
        table_row(table, cells);
    }
    int state = table_print(table, "no CRL", stdout);
    table_free(table);
    printf("%" PRIu32 " of %" PRIu32 " members with a certificate have said that they have %s\n",
           revocations->members_taken, revocations->members, revocations->n_lists == 1 ? "it" : "them");
    for (size_t i = 0; i < revocations->n_revoked; i++) {
        printf("%s: revoked, its association is ended; evict it, or give it another certificate\n",
               revocations->revoked[i]);
    }
    return state;
}

/* Sends the request and prints what is answered. */
static enum exit_code lists_call(const struct one_argument *arguments, Groupseal__Secenv__ToSecenv *request,
                                 bool changes)
{
    struct operator_session *session = NULL;
    Groupseal__Secenv__FromSecenv *message = NULL;
    enum exit_code code = operator_open(&arguments->common, &session);
    if (code == EXIT_DONE) {
        code =
            changes ? operator_change(session, request, &message) : operator_call(session, request, &message);
    }
    if (code == EXIT_DONE && message->reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_REVOCATIONS) {
        const Groupseal__Secenv__Revocations *revocations = message->reply->revocations;
        int state = arguments->common.json ? lists_json(revocations) : lists_print(revocations);
        code = state == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    secenv_client_free(message);
    operator_close(session);
    return code;
}

/* ---- revocation set ---- */

/* The file's content, malloc'd; NULL: what is wrong has been said. */
static uint8_t *file_read(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rbe");
    uint8_t *content = malloc(FILE_LIMIT + 1);
    if (file == NULL || content == NULL) {
        operator_say("%s: %s", path, file == NULL ? strerror(errno) : "out of memory");
        free(content);
        if (file != NULL) {
            fclose(file);
        }
        return NULL;
    }
    *length = fread(content, 1, FILE_LIMIT + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed || *length > FILE_LIMIT) {
        operator_say(failed ? "%s cannot be read" : "%s is too long", path);
        free(content);
        return NULL;
    }
    return content;
}

enum exit_code command_revocation_set(int argc, char **argv)
{
    static const struct argp parser = {NULL,
                                       one_argument_parse,
                                       "FILE",
                                       "Gives the authority a newer CRL of the end-to-end CA (PEM or DER): "
                                       "it counts at once, goes to all members "
                                       "with certificates, and ends the associations of those that it names.",
                                       common_children,
                                       NULL,
                                       NULL};
    struct one_argument arguments = {.takes_one = true};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    Groupseal__Secenv__RevocationSet set = GROUPSEAL__SECENV__REVOCATION_SET__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    set.lists.data = file_read(arguments.argument, &set.lists.len);
    if (set.lists.data == NULL) {
        return EXIT_FAILED;
    }
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_REVOCATION_SET;
    request.revocation_set = &set;
    enum exit_code code = lists_call(&arguments, &request, true);
    free(set.lists.data);
    return code;
}

/* ---- revocation show ---- */

enum exit_code command_revocation_show(int argc, char **argv)
{
    static const struct argp parser = {
        NULL,
        one_argument_parse,
        NULL,
        "Shows the CRLs in use, and how many of the members have said that they have them.",
        common_children,
        NULL,
        NULL};
    struct one_argument arguments = {0};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    Groupseal__Secenv__RevocationShow show = GROUPSEAL__SECENV__REVOCATION_SHOW__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_REVOCATION_SHOW;
    request.revocation_show = &show;
    return lists_call(&arguments, &request, false);
}
