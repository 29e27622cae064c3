/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_AGENTS_FILE_H
#define GROUPSEAL_TESTS_AGENTS_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of the test's own, and files in it. */
struct folder {
    char path[64];
};

static inline void folder_make(struct folder *folder)
{
    snprintf(folder->path, sizeof(folder->path), "/tmp/groupseal-test-XXXXXX");
    if (mkdtemp(folder->path) == NULL) {
        abort();
    }
}

static inline const char *folder_file(const struct folder *folder, const char *name, const char *text,
                                      int mode)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, (mode_t)mode) != 0) {
        abort();
    }
    return path;
}

static inline void folder_remove(const struct folder *folder)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder->path);
    if (system(command) != 0) {
        abort();
    }
}

#endif
