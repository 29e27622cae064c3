/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_REPORT_H
#define GROUPSEAL_SECENV_MEMBER_REPORT_H

#include "secenv/member/relay.h"

/* REPORT: who executed a command, who failed, who did not answer; in pages, into the outbox: those with a row
 * that has changed since it was told. RESULT_FULL: not all of them had room; what was put is told. Of
 * commands of its own, which the authority may be away from for long, the newest OWN_REPORTS_LIMIT pages
 * wait. */
#define OWN_REPORTS_LIMIT 1024u
enum result report_put(const struct relay *relay, struct dispatch *dispatch, struct reason *why) MUST_USE;

#endif
