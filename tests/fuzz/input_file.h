/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_FUZZ_INPUT_FILE_H
#define GROUPSEAL_TESTS_FUZZ_INPUT_FILE_H

#include <unistd.h>

#include "fuzz.h"

/* The input as a file of its own, for readers that take a path; removed when the program ends. */
static char input_file[256];

static void input_file_remove(void)
{
    (void)unlink(input_file);
}

static inline char *input_file_path(void)
{
    if (input_file[0] == '\0') {
        const char *base = getenv("TMPDIR");
        (void)snprintf(input_file, sizeof(input_file), "%.200s/groupseal-fuzz-XXXXXX",
                       base != NULL ? base : "/tmp");
        int fd = mkstemp(input_file);
        ALWAYS(fd >= 0 && close(fd) == 0 && atexit(input_file_remove) == 0);
    }
    return input_file;
}

static inline void input_file_write(const void *data, size_t size)
{
    FILE *file = fopen(input_file_path(), "wb");
    ALWAYS(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

#endif
