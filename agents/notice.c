/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/notice.h"

#include "agents/log.h"

void notice_log(const Groupseal__Secenv__Notice *notice)
{
    enum agent_log_level level = AGENT_LOG_INFO;
    if (notice->severity == GROUPSEAL__SECENV__SEVERITY__WARNING) {
        level = AGENT_LOG_WARNING;
    } else if (notice->severity == GROUPSEAL__SECENV__SEVERITY__ALARM) {
        level = AGENT_LOG_ALARM;
    }
    agent_log(level, "secure environment: %s", notice->text);
}
