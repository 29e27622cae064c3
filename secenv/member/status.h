/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_STATUS_H
#define GROUPSEAL_SECENV_MEMBER_STATUS_H

#include "secenv/member/member_engine.h"

/* What may be told about the engine: to Hello the identities, to Status their states (the counters are the
 * service's). */
enum result status_welcome(const struct engine *engine, struct arena *arena,
                           Groupseal__Secenv__Reply *reply) MUST_USE;
enum result status_reply(const struct engine *engine, struct arena *arena,
                         Groupseal__Secenv__Reply *reply) MUST_USE;

#endif
