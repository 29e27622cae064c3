/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_PROGRAM_H
#define GROUPSEAL_SECENV_SERVICE_PROGRAM_H

#include "secenv/engine.h"

/* The commands of the program `secenv`: each parses its own arguments (argv[0] is "secenv COMMAND") and
 * returns the exit status of docs/secenv.8. */
#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

int command_run(int argc, char **argv);
int command_provision(int argc, char **argv);
int command_limit(int argc, char **argv);
int command_audit(int argc, char **argv);

/* `secenv: error: text` on standard error; returns EXIT_FAILED. */
int program_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Opens the store of the profile (STORE_ANY: either) with the schemas of that. `root_key_path` NULL: root.key
 * in the directory. */
enum result program_store_open(const char *directory, enum store_profile profile, const char *root_key_path,
                               struct store **out, struct reason *why) MUST_USE;

/* Whole decimal numbers from 0 to `highest`; false for anything else. */
bool program_number(const char *text, unsigned long highest, unsigned long *out);

#endif
