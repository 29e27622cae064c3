/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz.h"

#include "plugin/check/checks.h"

/* A broker's configuration: whatever it is, each complaint is about a line that is there. */
static void told(void *context, const struct complaint *complaint)
{
    ALWAYS(complaint->line >= 1 && complaint->line <= *(unsigned *)context);
    ALWAYS(complaint->text[0] != '\0' && strcmp(complaint->file, "f") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf conf;
    char why[600];
    char *text = fuzz_text(data, size);
    unsigned lines = 1;
    for (const char *at = text; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    /* What would read other files is left out: the fuzzer is not to open them. */
    if (strstr(text, "rules") == NULL && strstr(text, "settings /") == NULL &&
        conf_text(&conf, "f", text, why, sizeof(why))) {
        checks_run(&conf, told, &lines);
        conf_clear(&conf);
    } else if (strstr(text, "rules") == NULL && strstr(text, "settings /") == NULL) {
        conf_clear(&conf);
    }
    free(text);
    return 0;
}
