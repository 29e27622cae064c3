/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_ORDER_LIST_H
#define GROUPSEAL_AGENTS_IN_CSE_ORDER_LIST_H

#include "agents/in-cse/operator.h"

/* Asks for the newest commands and prints them, the newest first: a table, or a JSON array. */
enum exit_code order_list_print(struct operator_session *session, bool json);

#endif
