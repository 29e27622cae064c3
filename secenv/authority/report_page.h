/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_REPORT_PAGE_H
#define GROUPSEAL_SECENV_AUTHORITY_REPORT_PAGE_H

#include "secenv/authority/order.h"

/*
 * The report of an order, as operators read it: in pages, by the names of the members. Who sent the order is
 * told as it changes, and all pages each time: at once where it is one page or complete, else once in
 * REPORT_TOLD_US.
 */
#define WATCHES_LIMIT 256u
#define REPORT_TOLD_US 1000000u

/* Operator connections that wait for the reports of their order; memory only. */
struct watch {
    uint64_t connection; /* 0: free */
    uint8_t command_id[COMMAND_ID_SIZE];
    bool changed;     /* since it was told */
    uint64_t told_us; /* monotonic; 0: never */
};

struct watches {
    struct watch items[WATCHES_LIMIT];
    size_t next;
};

/* In the place of the oldest. */
void watches_add(struct watches *watches, uint64_t connection, struct bytes id);
void watches_forget(struct watches *watches, uint64_t connection);

/* The report has changed: who watches is to be told. */
void report_page_due(struct engine *engine, struct bytes command_id);
/* Tells who is to be told now. Lowers `*next`. */
enum result report_page_turn(struct engine *engine, uint64_t *next, struct reason *why) MUST_USE;

/* Operator. One page. */
enum result order_show(struct engine *engine, const Groupseal__Secenv__OrderShow *request,
                       struct arena *arena, Groupseal__Secenv__OrderReport **out,
                       struct reason *why) MUST_USE;
/* The newest ORDER_LIST_LIMIT, in short. */
#define ORDER_LIST_LIMIT 64u
enum result order_list(struct engine *engine, struct arena *arena, Groupseal__Secenv__Orders **out,
                       struct reason *why) MUST_USE;

#endif
