/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_AUTHORITY_REPORT_H
#define GROUPSEAL_SECENV_AUTHORITY_REPORT_H

#include "secenv/authority/order.h"

/* What became of an order: the reports of its MN-CSEs, merged. */

/* REPORT of an MN-CSE. It may speak of devices of its own site only. Looks at all of it before it writes. */
enum result report_take(struct engine *engine, const struct member *mn_cse,
                        const Groupseal__Envelope__Report *report, struct reason *why) MUST_USE;

/* An MN-CSE ended the outbox item of this order without taking it. */
enum result order_refused(struct engine *engine, const struct member *mn_cse, const char *command_hex,
                          const char *reason, struct reason *why) MUST_USE;

/* Something was written about this command: completes it where it is; who watches is told in this batch's
 * turn, or a little later. */
enum result report_changed(struct engine *engine, struct bytes command_id, struct reason *why) MUST_USE;

#endif
