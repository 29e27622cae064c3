/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_DISPATCH_TARGET_H
#define GROUPSEAL_SECENV_MEMBER_DISPATCH_TARGET_H

#include "secenv/objects/object.h"

/* Who should answer one command, and what each has said: in byte order of the names, each once. */
struct dispatch_target {
    char *name;
    char *detail; /* NULL: none */
    Groupseal__Envelope__Outcome outcome;
    bool late; /* its first answer came after the response window */
    bool told; /* as it is now, in a report; in memory only */
};

struct dispatch_targets {
    struct dispatch_target *items;
    size_t count;
    size_t capacity;
    size_t open; /* how many have not answered for good */
};

/* Done, failed, refused or not known: nothing more is waited for. */
bool outcome_is_final(Groupseal__Envelope__Outcome outcome);

void dispatch_targets_clear(struct dispatch_targets *targets);
struct dispatch_target *dispatch_target_find(const struct dispatch_targets *targets, const char *name);
/* One that is not there yet; without an answer. RESULT_INTERNAL: memory. `*out` is valid until the next. */
enum result dispatch_target_add(struct dispatch_targets *targets, const char *name,
                                struct dispatch_target **out) MUST_USE;
/* Takes outcome, detail and `late` over. RESULT_INTERNAL: memory; then nothing has changed. */
enum result dispatch_target_answer(struct dispatch_targets *targets, struct dispatch_target *target,
                                   const struct dispatch_target *answer) MUST_USE;
/* All of them are in the next report. */
void dispatch_targets_untold(struct dispatch_targets *targets);

#endif
