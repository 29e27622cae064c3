/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/order_list.h"

#include "agents/in-cse/json_line.h"
#include "agents/in-cse/table.h"
#include "agents/in-cse/words.h"

#include <stdio.h>

#define ID_SIZE 16u

static void id_text(const Groupseal__Secenv__OrderSummary *order, char out[2 * ID_SIZE + 1])
{
    out[0] = '\0';
    for (size_t i = 0; i < order->command_id.len && i < ID_SIZE; i++) {
        snprintf(out + 2 * i, 3, "%02x", order->command_id.data[i]);
    }
}

static int print_json(const Groupseal__Secenv__Orders *orders)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < orders->n_orders; i++) {
        const Groupseal__Secenv__OrderSummary *order = orders->orders[i];
        cJSON *object = cJSON_CreateObject();
        json_line_hex(object, "command_id", order->command_id.data, order->command_id.len);
        json_line_text(object, "group", order->group);
        json_line_time(object, "issued", order->issued_ms);
        json_line_text(object, "commander", order->commander);
        cJSON_AddBoolToObject(object, "complete", order->complete);
        cJSON_AddNumberToObject(object, "members", order->members);
        cJSON_AddNumberToObject(object, "done", order->done);
        cJSON_AddItemToArray(array, object);
    }
    return json_line_put(array);
}

static int print_table(const Groupseal__Secenv__Orders *orders)
{
    static const char *const titles[] = {"COMMAND", "GROUP", "ISSUED", "DONE", "COMPLETE", "GIVEN BY"};
    struct table *table = table_new(titles, sizeof(titles) / sizeof(titles[0]));
    if (table == NULL) {
        return -1;
    }
    for (size_t i = 0; i < orders->n_orders; i++) {
        const Groupseal__Secenv__OrderSummary *order = orders->orders[i];
        char id[2 * ID_SIZE + 1];
        char when[WORDS_TIME_SIZE];
        char done[32];
        id_text(order, id);
        words_time(order->issued_ms, when);
        snprintf(done, sizeof(done), "%u of %u", order->done, order->members);
        const char *cells[] = {id,
                               order->group,
                               when,
                               done,
                               order->complete ? "yes" : "no",
                               order->commander[0] != '\0' ? order->commander : "operator"};
        table_row(table, cells);
    }
    int state = table_print(table, "no commands", stdout);
    table_free(table);
    return state;
}

enum exit_code order_list_print(struct operator_session *session, bool json)
{
    Groupseal__Secenv__OrderList list = GROUPSEAL__SECENV__ORDER_LIST__INIT;
    Groupseal__Secenv__ToSecenv request = GROUPSEAL__SECENV__TO_SECENV__INIT;
    Groupseal__Secenv__FromSecenv *message = NULL;
    request.request_case = GROUPSEAL__SECENV__TO_SECENV__REQUEST_ORDER_LIST;
    request.order_list = &list;
    enum exit_code code = operator_call(session, &request, &message);
    if (code == EXIT_DONE && message->reply->content_case == GROUPSEAL__SECENV__REPLY__CONTENT_ORDERS &&
        (json ? print_json(message->reply->orders) : print_table(message->reply->orders)) != 0) {
        operator_say("out of memory");
        code = EXIT_FAILED;
    }
    secenv_client_free(message);
    return code;
}
