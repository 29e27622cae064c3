/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_NOTICE_H
#define GROUPSEAL_AGENTS_NOTICE_H

#include "secenv.pb-c.h"

/* Puts a Notice of the secure environment into our log, at its own severity. */
void notice_log(const Groupseal__Secenv__Notice *notice);

#endif
