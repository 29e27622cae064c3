/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/results.h"

#include "agents/log.h"
#include "onem2m/identifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct finished {
    struct finished *next;
    struct results *results;
    char group[65];
    uint8_t id[DEVICE_COMMAND_ID_SIZE];
    bool done;
    bool sent;
    char detail[DEVICE_DETAIL_LIMIT + 1];
};

struct results {
    char identity[ONEM2M_ID_LIMIT + 1];
    struct session *session;
    struct finished *first;
    size_t count;
};

static void finished_remove(struct finished *finished)
{
    struct finished **place = &finished->results->first;
    while (*place != finished) {
        place = &(*place)->next;
    }
    *place = finished->next;
    finished->results->count--;
    free(finished);
}

static void on_taken(void *context, void *request_context, const Groupseal__Secenv__Reply *reply)
{
    struct finished *finished = request_context;
    (void)context;
    if (reply == NULL) {
        finished->sent = false; /* sent again when the session is back: taking it twice does no harm */
        return;
    }
    if (reply->code != GROUPSEAL__SECENV__CODE__OK) {
        agent_log(AGENT_LOG_WARNING, "the result of a command in %s was not taken: %s", finished->group,
                  reply->reason);
    }
    finished_remove(finished);
}

void results_send(struct results *results)
{
    for (struct finished *f = results->first; f != NULL; f = f->next) {
        if (f->sent) {
            continue;
        }
        Groupseal__Secenv__Finished message = GROUPSEAL__SECENV__FINISHED__INIT;
        Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
        message.identity = results->identity;
        message.group = f->group;
        message.command_id = (ProtobufCBinaryData){sizeof(f->id), f->id};
        message.done = f->done;
        message.detail = f->detail;
        request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_FINISHED;
        request.finished = &message;
        f->sent = session_request(results->session, &request, on_taken, f);
    }
}

/* Cuts at the limit, not inside a UTF-8 character. */
static void detail_copy(char out[DEVICE_DETAIL_LIMIT + 1], const char *detail)
{
    size_t length = strnlen(detail, DEVICE_DETAIL_LIMIT + 1);
    if (length > DEVICE_DETAIL_LIMIT) {
        length = DEVICE_DETAIL_LIMIT;
        while (length > 0 && ((unsigned char)detail[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    memcpy(out, detail, length);
    out[length] = '\0';
}

bool results_add(struct results *results, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                 bool done, const char *detail)
{
    struct finished *finished = results->count < RESULTS_LIMIT ? calloc(1, sizeof(*finished)) : NULL;
    if (finished == NULL) {
        return false;
    }
    finished->results = results;
    snprintf(finished->group, sizeof(finished->group), "%s", group);
    memcpy(finished->id, id, DEVICE_COMMAND_ID_SIZE);
    finished->done = done;
    detail_copy(finished->detail, detail != NULL ? detail : "");
    struct finished **end = &results->first;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = finished;
    results->count++;
    results_send(results);
    return true;
}

struct results *results_new(const char *identity, struct session *session)
{
    struct results *results = calloc(1, sizeof(*results));
    if (results != NULL) {
        results->session = session;
        snprintf(results->identity, sizeof(results->identity), "%s", identity);
    }
    return results;
}

void results_free(struct results *results)
{
    while (results != NULL && results->first != NULL) {
        struct finished *next = results->first->next;
        free(results->first);
        results->first = next;
    }
    free(results);
}
