/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/authority/evictions.h"

#include "secenv/authority/hex.h"
#include "secenv/authority/member.h"

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

static char *evictions_path(struct store *store)
{
    char *path = NULL;
    if (store_query(store, NULL, database_read, &path, "PRAGMA database_list", "") != RESULT_OK) {
        free(path);
        return NULL;
    }
    return path;
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

enum result evictions_open(struct store *store, int *file, struct reason *why)
{
    *file = -1;
    char *path = evictions_path(store);
    if (path == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory, or the store is in no file");
    }
    enum result result = RESULT_OK;
    int opened = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (opened < 0 || directory_sync(path) != 0) {
        result = result_fail(why, RESULT_STORE, "cannot open %s: %s", path, strerror(errno));
        if (opened >= 0) {
            close(opened);
        }
    } else {
        *file = opened;
    }
    free(path);
    return result;
}

/* A crash may have left half a line: then the next one starts on its own. */
static bool ends_within_line(int file, const struct stat *status)
{
    char last = '\n';
    return status->st_size > 0 && pread(file, &last, 1, status->st_size - 1) == 1 && last != '\n';
}

static bool lines_write(int file, const char *lines, size_t length)
{
    ssize_t written = write(file, lines, length);
    if (written >= 0 && (size_t)written < length) {
        errno = ENOSPC; /* what the rest would have met */
    }
    return written >= 0 && (size_t)written == length && fsync(file) == 0;
}

/* The caller's to free; NULL without memory. */
static char *lines_make(const char *before, const struct member *members, size_t count, uint64_t wall_ms,
                        size_t *length)
{
    char *lines = NULL;
    FILE *stream = open_memstream(&lines, length);
    if (stream == NULL) {
        return NULL;
    }
    (void)fputs(before, stream);
    for (size_t i = 0; i < count; i++) {
        char text[TOKEN_TEXT + 1];
        hex_write(BYTES_OF(members[i].token), text);
        (void)fprintf(stream, "%s %" PRIu64 " %s\n", text, wall_ms, members[i].name);
    }
    bool made = ferror(stream) == 0;
    made = fclose(stream) == 0 && made;
    if (!made) {
        free(lines);
        return NULL;
    }
    return lines;
}

enum result evictions_append(int file, const struct member *members, size_t count, uint64_t wall_ms,
                             struct reason *why)
{
    struct stat status;
    size_t length = 0;
    if (fstat(file, &status) != 0 || status.st_nlink == 0) {
        return result_fail(
            why, RESULT_STORE,
            "the evictions file of the store was removed: start secenv again to have a new one");
    }
    char *lines = lines_make(ends_within_line(file, &status) ? "\n" : "", members, count, wall_ms, &length);
    if (lines == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for lines of the evictions file");
    }
    enum result result = RESULT_OK;
    if (!lines_write(file, lines, length)) {
        result = result_fail(why, RESULT_STORE, "cannot write the evictions file: %s", strerror(errno));
        (void)!ftruncate(file, status.st_size); /* nobody is evicted by a request that failed */
    }
    free(lines);
    return result;
}

enum result evictions_read(int file,
                           enum result (*each)(void *context, const uint8_t token[EVICTION_TOKEN_SIZE],
                                               struct reason *why),
                           void *context, struct reason *why)
{
    int copy = fcntl(file, F_DUPFD_CLOEXEC, 0);
    FILE *stream = copy >= 0 ? fdopen(copy, "r") : NULL;
    if (stream == NULL) {
        if (copy >= 0) {
            close(copy);
        }
        return result_fail(why, RESULT_STORE, "cannot read the evictions file: %s", strerror(errno));
    }
    rewind(stream);
    enum result result = RESULT_OK;
    char *line = NULL;
    size_t capacity = 0;
    uint8_t token[EVICTION_TOKEN_SIZE];
    while (result == RESULT_OK && getline(&line, &capacity, stream) > 0) {
        if (hex_read(line, token, sizeof(token)) && line[TOKEN_TEXT] == ' ') {
            result = each(context, token, why);
        }
    }
    free(line);
    fclose(stream);
    return result;
}
