/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_OPERATOR_H
#define GROUPSEAL_TESTS_UNIT_OPERATOR_H

#include "tests/unit/site.h"

/* The operator's requests, one function each. Replies are the caller's (site_reply_free). */
Groupseal__Secenv__Reply *operator_call(struct site *site, Groupseal__Secenv__ToSecenv *request);
Groupseal__Secenv__Code operator_add(struct site *site, Groupseal__Secenv__NewMember *const *members,
                                     size_t count);
Groupseal__Secenv__Code operator_evict(struct site *site, const char *name);
Groupseal__Secenv__Code operator_evict_all(struct site *site, const char *const *names, size_t count);
Groupseal__Secenv__Code operator_move(struct site *site, const char *name, const char *to);
Groupseal__Secenv__Code operator_reauthenticate(struct site *site, const char *name);
Groupseal__Secenv__Code operator_create(struct site *site, Groupseal__Secenv__GroupCreate *group);
Groupseal__Secenv__Code operator_set(struct site *site, const char *group, Groupseal__Secenv__Switch commands,
                                     Groupseal__Secenv__Switch sign);
Groupseal__Secenv__Code operator_rotate_every(struct site *site, const char *group, uint32_t seconds);
/* NULL: nobody, which is refused; "--all": all that wait. */
Groupseal__Secenv__Code operator_confirm(struct site *site, const char *name);
Groupseal__Secenv__Code operator_release(struct site *site, const char *group);
Groupseal__Secenv__Code operator_rotate(struct site *site, const char *group);
Groupseal__Secenv__Code operator_delete(struct site *site, const char *group);
Groupseal__Secenv__Code operator_leaf_age(struct site *site, uint32_t seconds);
Groupseal__Secenv__Code operator_collect(struct site *site, uint32_t ms); /* UINT32_MAX: off */
Groupseal__Secenv__Reply *operator_clock(struct site *site, bool accept);
/* The reply's code; `out` (may be NULL) is the caller's (site_reply_free). */
Groupseal__Secenv__Code operator_revocation(struct site *site, struct bytes lists,
                                            Groupseal__Secenv__Reply **out);
Groupseal__Secenv__Reply *operator_revocations(struct site *site);
Groupseal__Secenv__Reply *operator_list(struct site *site, const char *after);
Groupseal__Secenv__Reply *operator_show(struct site *site, const char *group);
Groupseal__Secenv__Reply *operator_order(struct site *site, const char *group, const char *body,
                                         const char *const *targets, size_t count, uint32_t valid_ms);
Groupseal__Secenv__Reply *operator_order_list(struct site *site);
Groupseal__Secenv__Reply *operator_order_show(struct site *site, struct bytes command_id); /* page 0 */
Groupseal__Secenv__Reply *operator_order_page(struct site *site, struct bytes command_id, uint32_t page);

/* A device or MN-CSE as it should be, to spoil one field of. `function` NULL: none. */
struct new_member {
    Groupseal__Secenv__NewMember member;
    struct secret psk;
    char *functions[1];
};
void new_member_init(struct new_member *out, const char *name, enum identity_kind kind,
                     enum credentials_mode mode, const char *at, const char *function);

#endif
