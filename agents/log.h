/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_LOG_H
#define GROUPSEAL_AGENTS_LOG_H

#include <stdbool.h>

/*
 * The log of in-cse and adn-ae: one line a call to standard error, `adn-ae: warning: text`, control
 * characters replaced (texts come from peers too). No payloads, ever: names, numbers and reasons only.
 * Any thread may log once agent_log_open has returned. It never waits: lines that nobody reads are dropped,
 * and their number is said with the next line that is taken.
 */
enum agent_log_level { AGENT_LOG_DEBUG, AGENT_LOG_INFO, AGENT_LOG_WARNING, AGENT_LOG_ALARM };

/* Sets the program's name (kept, not copied) and the lowest level that is written. */
void agent_log_open(const char *program, enum agent_log_level threshold);

/* "debug", "info", "warning", "alarm"; false where the word is none of them. */
bool agent_log_level_parse(const char *word, enum agent_log_level *out);

void agent_log(enum agent_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
