/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "input_file.h"

#include "plugin/broker/state_file.h"

/* Any bytes as the plugin's state file: it opens, counts what it passes over, and takes lines again. */
struct told {
    size_t lines;
    size_t bytes;
};

static void hear(void *context, const char *line, size_t length)
{
    struct told *told = context;
    ALWAYS(memchr(line, '\n', length) == NULL);
    told->lines++;
    told->bytes += length + 18; /* the check, a space, the end of the line */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told told = {0, 0};
    struct state_file_found found;
    char why[600] = "";
    input_file_write(data, size);
    struct state_file *file = state_file_open(input_file_path(), hear, &told, &found, why, sizeof(why));
    ALWAYS(file != NULL && found.lines == told.lines && found.lost + told.bytes <= size);
    ALWAYS(!found.before && (found.damaged || size > 0));
    state_file_close(file);
    return 0;
}
