/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_LOG_H
#define GROUPSEAL_SECENV_LOG_H

/*
 * secenv's own log: one line a call to standard error, `secenv: warning: text`, control
 * characters replaced. No secret, ever: callers pass names, numbers and reasons only.
 */
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ALARM };

void log_threshold(enum log_level lowest);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
