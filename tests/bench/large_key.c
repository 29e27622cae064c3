/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bench/large_key.h"

#include "secenv/member/membership.h"

#include <string.h>

static const struct membership *membership_of(struct site_node *node, const char *group)
{
    return membership_find(engine_identity(site_engine(node), site_name(node)), group);
}

bool large_key_same(struct site_node *a, struct site_node *b, const char *group)
{
    const struct membership *left = membership_of(a, group);
    const struct membership *right = membership_of(b, group);
    return left != NULL && right != NULL && left->current.present && right->current.present &&
           left->current.epoch == right->current.epoch &&
           memcmp(left->current.secret.data, right->current.secret.data, SECRET_SIZE) == 0;
}
