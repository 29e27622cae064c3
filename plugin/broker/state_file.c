/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* "0123456789abcdef text\n" */
#define CHECK_LENGTH 17u
#define CHECK_FORMAT "%016" PRIx64 " "

/* Says that the file is one of these, and one without it is damaged: an empty one too. */
static const char first_line[] = "groupseal registrations and groups 1";

struct written {
    int handle; /* -1: none */
    off_t size;
    bool torn; /* it ends with half a line */
};

struct state_file {
    char path[PATH_MAX];
    char fresh[PATH_MAX];  /* beside it, until it takes its place */
    char before[PATH_MAX]; /* the one whose place it took */
    char folder[PATH_MAX];
    struct written now; /* the file in its place; nowhere before the first commit */
    struct written next;
    bool beginning; /* lines go to `next` only */
    off_t size_at_commit;
};

static bool refuse(const struct state_file *file, const char *what, int error, char *why, size_t why_size)
{
    snprintf(why, why_size, "plugin_opt_state_file %s %s: %s", file->path, what, strerror(error));
    errno = error;
    return false;
}

/* FNV-1a: against accidents. Who can write the file needs no forged lines. */
static uint64_t line_check(const char *line, size_t length)
{
    uint64_t check = 14695981039346656037u;
    for (size_t i = 0; i < length; i++) {
        check = (check ^ (uint8_t)line[i]) * 1099511628211u;
    }
    return check;
}

/* ---- reading ---- */

struct content {
    char *bytes;
    size_t length;
    size_t missing; /* behind it, that the disk does not give */
};

static void content_fill(int handle, struct content *content, size_t size)
{
    ssize_t got = 1;
    while (got > 0 && content->length < size) {
        got = read(handle, content->bytes + content->length, size - content->length);
        content->length += got > 0 ? (size_t)got : 0;
    }
    content->missing = size - content->length;
}

/* False with errno: there is none, or it is no file of ours. */
static bool content_read(const char *path, struct content *content)
{
    struct stat status;
    int handle = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int error = 0;
    *content = (struct content){NULL, 0, 0};
    if (handle < 0) {
        return false;
    }
    if (fstat(handle, &status) != 0) {
        error = errno;
    } else if (!S_ISREG(status.st_mode) || status.st_size > (off_t)STATE_FILE_LIMIT) {
        error = EFBIG;
    } else if ((content->bytes = malloc((size_t)status.st_size + 1)) == NULL) {
        error = ENOMEM;
    } else {
        content_fill(handle, content, (size_t)status.st_size);
    }
    close(handle);
    errno = error;
    return error == 0;
}

static bool line_whole(const char *begin, size_t size)
{
    char check[CHECK_LENGTH + 1];
    if (size < CHECK_LENGTH) {
        return false;
    }
    snprintf(check, sizeof(check), CHECK_FORMAT, line_check(begin + CHECK_LENGTH, size - CHECK_LENGTH));
    return memcmp(begin, check, CHECK_LENGTH) == 0;
}

/* The next whole line from `*from` on, which moves behind it, and how many bytes before it are of none; NULL:
 * there is no other. */
static const char *line_next(const struct content *content, size_t *from, size_t *length, size_t *lost)
{
    *lost = 0;
    while (*from < content->length) {
        const char *begin = content->bytes + *from;
        const char *end = memchr(begin, '\n', content->length - *from);
        size_t size = end == NULL ? content->length - *from : (size_t)(end - begin);
        *from += size + (end != NULL);
        if (end != NULL && line_whole(begin, size)) {
            *length = size - CHECK_LENGTH;
            return begin + CHECK_LENGTH;
        }
        *lost += size + (end != NULL);
    }
    return NULL;
}

static bool is_first(const char *line, size_t length)
{
    return length == sizeof(first_line) - 1 && memcmp(line, first_line, length) == 0;
}

static void content_weigh(const struct content *content, struct state_file_found *found)
{
    size_t from = 0;
    size_t length = 0;
    size_t lost = 0;
    const char *line = line_next(content, &from, &length, &lost);
    found->damaged = content->missing > 0 || lost > 0 || line == NULL || !is_first(line, length);
    found->lost = lost + content->missing;
    while (line != NULL) {
        line = line_next(content, &from, &length, &lost);
        found->damaged |= lost > 0 && line != NULL;
        found->lost += lost;
    }
}

struct telling {
    void (*each)(void *context, const char *line, size_t length);
    void *context;
    struct state_file_found *found;
};

static void content_tell(const struct content *content, const struct telling *telling)
{
    size_t from = 0;
    size_t length = 0;
    size_t lost = 0;
    const char *line = NULL;
    while ((line = line_next(content, &from, &length, &lost)) != NULL) {
        if (!is_first(line, length)) {
            telling->each(telling->context, line, length);
            telling->found->lines++;
        }
    }
}

static void before_tell(const struct state_file *file, const struct telling *telling)
{
    struct content before;
    if (content_read(file->before, &before)) {
        telling->found->before = true;
        content_tell(&before, telling);
    }
    free(before.bytes);
}

static bool file_tell(const struct state_file *file, const struct telling *telling, char *why,
                      size_t why_size)
{
    struct content content;
    if (!content_read(file->path, &content)) {
        return errno == ENOENT || refuse(file, "cannot be read", errno, why, why_size);
    }
    content_weigh(&content, telling->found);
    if (telling->found->damaged) {
        before_tell(file, telling);
    }
    content_tell(&content, telling);
    free(content.bytes);
    return true;
}

/* ---- life ---- */

static bool paths_set(struct state_file *file, const char *path)
{
    const char *slash = strrchr(path, '/');
    int folder = slash == NULL ? 0 : (int)(slash - path);
    return (size_t)snprintf(file->path, sizeof(file->path), "%s", path) < sizeof(file->path) &&
           (size_t)snprintf(file->fresh, sizeof(file->fresh), "%s.new", path) < sizeof(file->fresh) &&
           (size_t)snprintf(file->before, sizeof(file->before), "%s.old", path) < sizeof(file->before) &&
           (size_t)snprintf(file->folder, sizeof(file->folder), "%.*s", slash == NULL ? 1 : folder + 1,
                            slash == NULL ? "." : path) < sizeof(file->folder);
}

struct state_file *state_file_open(const char *path, void (*each)(void *, const char *, size_t),
                                   void *context, struct state_file_found *found, char *why, size_t why_size)
{
    const struct telling telling = {each, context, found};
    struct state_file *file = calloc(1, sizeof(*file));
    *found = (struct state_file_found){0};
    if (file == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    file->now.handle = file->next.handle = -1;
    if (!paths_set(file, path)) {
        refuse(file, "cannot be used", ENAMETOOLONG, why, why_size);
    } else if (file_tell(file, &telling, why, why_size)) {
        return file;
    }
    free(file);
    return NULL;
}

static void written_close(struct written *written)
{
    if (written->handle >= 0) {
        close(written->handle);
    }
    *written = (struct written){-1, 0, false};
}

void state_file_close(struct state_file *file)
{
    if (file != NULL) {
        written_close(&file->now);
        written_close(&file->next);
        free(file);
    }
}

/* ---- lines ---- */

/* False with errno, and the file is as before. */
static bool line_write(struct written *written, const char *line, size_t length)
{
    char check[CHECK_LENGTH + 1];
    char text[] = "\n";
    snprintf(check, sizeof(check), CHECK_FORMAT, line_check(line, length));
    struct iovec pieces[] = {
        {text, written->torn}, {check, CHECK_LENGTH}, {(void *)(uintptr_t)line, length}, {text, 1}};
    size_t whole = written->torn + CHECK_LENGTH + length + 1;
    if (written->handle < 0 || written->size + (off_t)whole > (off_t)STATE_FILE_LIMIT) {
        errno = EFBIG;
        return false;
    }
    ssize_t put = writev(written->handle, pieces, sizeof(pieces) / sizeof(pieces[0]));
    if (put == (ssize_t)whole) {
        written->size += put;
        written->torn = false;
        return true;
    }
    int error = put < 0 ? errno : ENOSPC;
    if (put > 0 && ftruncate(written->handle, written->size) != 0) {
        written->size += put;
        written->torn = true;
    }
    errno = error;
    return false;
}

bool state_file_append(struct state_file *file, const char *line, size_t length)
{
    if (length > STATE_FILE_LINE_LIMIT || memchr(line, '\n', length) != NULL) {
        return false;
    }
    bool only_next = file->beginning || (file->now.handle < 0 && file->next.handle >= 0);
    bool next = file->next.handle < 0 || line_write(&file->next, line, length);
    return (only_next || line_write(&file->now, line, length)) && next;
}

static int folder_sync(const struct state_file *file)
{
    int handle = open(file->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems have no such thing. */
    int error = handle >= 0 && (fsync(handle) == 0 || errno == EINVAL) ? 0 : errno;
    if (handle >= 0) {
        close(handle);
    }
    return error;
}

int state_file_sync(const struct state_file *file)
{
    if (file->now.handle < 0) {
        return 0; /* nothing of it is in its place */
    }
    return fdatasync(file->now.handle) == 0 ? folder_sync(file) : errno;
}

bool state_file_grown(const struct state_file *file)
{
    off_t growth = file->now.size - file->size_at_commit;
    return growth > (off_t)STATE_FILE_GROWTH_LIMIT && growth > 3 * file->size_at_commit;
}

/* ---- a new file ---- */

bool state_file_begin(struct state_file *file, char *why, size_t why_size)
{
    (void)unlink(file->fresh); /* one that never took its place */
    file->next.handle =
        open(file->fresh, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (file->next.handle >= 0 && line_write(&file->next, first_line, sizeof(first_line) - 1)) {
        file->beginning = true;
        return true;
    }
    int error = errno;
    written_close(&file->next);
    return refuse(file, "cannot be written anew beside itself (its folder must be the broker's)", error, why,
                  why_size);
}

void state_file_begun(struct state_file *file)
{
    file->beginning = false;
}

void state_file_abandon(struct state_file *file)
{
    (void)unlink(file->fresh);
    written_close(&file->next);
    file->beginning = false;
}

int state_file_settle(const struct state_file *file)
{
    if (fsync(file->next.handle) != 0) {
        return errno;
    }
    (void)unlink(file->before);
    if (link(file->path, file->before) != 0 && errno != ENOENT &&
        errno != EPERM) { /* the first; no such links */
        return errno;
    }
    return rename(file->fresh, file->path) == 0 ? 0 : errno;
}

void state_file_commit(struct state_file *file)
{
    written_close(&file->now);
    file->now = file->next;
    file->next = (struct written){-1, 0, false};
    file->beginning = false;
    file->size_at_commit = file->now.size;
}
