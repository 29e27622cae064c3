/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_RESULT_H
#define GROUPSEAL_SECENV_RESULT_H

/*
 * Results of secenv's functions: a closed list of codes, the same numbers as
 * `Code` in proto/secenv.proto, and a text for the person who can act.
 */

#define MUST_USE __attribute__((warn_unused_result))

enum result {
    RESULT_OK = 0,
    RESULT_INVALID = 1, /* malformed */
    RESULT_REFUSED = 2, /* authentication, signature, policy or replay */
    RESULT_UNKNOWN = 3, /* no such identity, member, group, association, command */
    RESULT_EXISTS = 4,
    RESULT_FULL = 5,      /* a bounded table is full */
    RESULT_NOT_READY = 6, /* no key, policy or sync yet */
    RESULT_STORE = 7,     /* the store cannot be read or written */
    RESULT_INTERNAL = 8,
    RESULT_TOO_OFTEN = 9, /* beyond the owner's rate (secenv/limits.h) */
};

/* Why something failed: what, where and what to do. Never holds a secret. */
struct reason {
    char text[256];
};

/*
 * Writes the text and returns `code`, so that a failing line reads
 * `return result_fail(why, RESULT_REFUSED, "record of %s is replayed", name);`
 * `why` may be NULL. Not for RESULT_OK.
 */
enum result result_fail(struct reason *why, enum result code, const char *format, ...)
    __attribute__((format(printf, 3, 4), warn_unused_result));

/* A word for the code, for logs and tables: "refused". Static storage. */
const char *result_word(enum result code);

/* Returns early with any result other than OK. The only control-flow macro. */
#define GUARD(expression)                                                                                    \
    do {                                                                                                     \
        enum result guard_result_ = (expression);                                                            \
        if (guard_result_ != RESULT_OK) {                                                                    \
            return guard_result_;                                                                            \
        }                                                                                                    \
    } while (0)

/* The same where there is something to clean up: sets `result` and jumps to `out`. */
#define GUARD_OUT(expression)                                                                                \
    do {                                                                                                     \
        result = (expression);                                                                               \
        if (result != RESULT_OK) {                                                                           \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

#endif
