/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz.h"

#include "plugin/agent/rules.h"

/* A rules file up to the first NUL, and a member message after it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[300] = "";
    char *text = fuzz_text(data, size);
    size_t length = strlen(text);
    struct rules *rules = rules_new(text, length, why, sizeof(why));
    ALWAYS((rules == NULL) == (why[0] != '\0'));
    if (length < size) {
        const struct rules_command *commands = NULL;
        size_t count = 0;
        rules_hear(rules, "sensors", "//sp.example/Ssensor1", text + length + 1, size - length - 1, 1000);
        for (uint64_t now = 1000; now < 200000; now += 20000) {
            for (size_t due = 0; rules_due(rules, now, &commands, &count) != NULL; due++) {
                ALWAYS(due < RULES_LIMIT && count > 0 && count <= RULES_COMMANDS_LIMIT);
            }
        }
    }
    rules_free(rules);
    free(text);
    return 0;
}
