/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/evictions.h"

#include "secenv/authority/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_TEXT ((size_t)2 * EVICTION_TOKEN_SIZE)

static enum result database_read(void *context, const struct store_row *row, struct reason *why)
{
    char **path = context;
    (void)why;
    const char *file = row_text(row, 2);
    const char *slash = strrchr(file, '/');
    if (strcmp(row_text(row, 1), "main") == 0 && slash != NULL &&
        asprintf(path, "%.*s/evictions", (int)(slash - file), file) < 0) {
        *path = NULL;
    }
    return RESULT_OK;
}

char *evictions_path(struct store *store)
{
    char *path = NULL;
    if (store_query(store, NULL, database_read, &path, "PRAGMA database_list", "") != RESULT_OK) {
        free(path);
        return NULL;
    }
    return path;
}

/* A crash may have left half a line: then the next one starts on its own. */
static bool ends_within_line(int file)
{
    struct stat status;
    char last = '\n';
    return fstat(file, &status) == 0 && status.st_size > 0 &&
           pread(file, &last, 1, status.st_size - 1) == 1 && last != '\n';
}

static int directory_sync(const char *path)
{
    char *directory = strdup(path);
    if (directory == NULL) {
        return -1;
    }
    *strrchr(directory, '/') = '\0';
    int file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(directory);
    if (file < 0) {
        return -1;
    }
    int state = fsync(file);
    close(file);
    return state;
}

enum result evictions_append(const char *path, const uint8_t token[EVICTION_TOKEN_SIZE], uint64_t wall_ms,
                             const char *name, struct reason *why)
{
    int file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return result_fail(why, RESULT_STORE, "cannot open %s: %s", path, strerror(errno));
    }
    char text[TOKEN_TEXT + 1];
    hex_write((struct bytes){token, EVICTION_TOKEN_SIZE}, text);
    bool written =
        dprintf(file, "%s%s %" PRIu64 " %s\n", ends_within_line(file) ? "\n" : "", text, wall_ms, name) > 0 &&
        fsync(file) == 0 && directory_sync(path) == 0;
    int saved = errno;
    close(file);
    if (!written) {
        return result_fail(why, RESULT_STORE, "cannot write %s: %s", path, strerror(saved));
    }
    return RESULT_OK;
}

enum result evictions_read(const char *path,
                           enum result (*each)(void *context, const uint8_t token[EVICTION_TOKEN_SIZE],
                                               struct reason *why),
                           void *context, struct reason *why)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return errno == ENOENT ? RESULT_OK
                               : result_fail(why, RESULT_STORE, "cannot read %s: %s", path, strerror(errno));
    }
    enum result result = RESULT_OK;
    char *line = NULL;
    size_t capacity = 0;
    uint8_t token[EVICTION_TOKEN_SIZE];
    while (result == RESULT_OK && getline(&line, &capacity, file) > 0) {
        if (hex_read(line, token, sizeof(token)) && line[TOKEN_TEXT] == ' ') {
            result = each(context, token, why);
        }
    }
    free(line);
    fclose(file);
    return result;
}
