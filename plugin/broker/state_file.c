/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct state_file {
    char path[PATH_MAX];
    char fresh[PATH_MAX]; /* beside it, until it takes its place */
    int handle;           /* lines go here; -1: nowhere yet */
    int kept_handle;      /* the old file's, between begin and commit */
    off_t size;           /* of the file that lines go to */
    off_t kept_size;
    off_t size_at_commit;
};

static bool refuse(const struct state_file *file, const char *what, int error, char *why, size_t why_size)
{
    snprintf(why, why_size, "plugin_opt_state_file %s %s: %s", file->path, what, strerror(error));
    return false;
}

/* The whole file, zero terminated; NULL with errno 0: there is none. */
static char *content_read(const struct state_file *file, size_t *length)
{
    struct stat status;
    int handle = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *content = NULL;
    *length = 0;
    if (handle < 0) {
        errno = errno == ENOENT ? 0 : errno;
        return NULL;
    }
    int error = 0;
    if (fstat(handle, &status) != 0) {
        error = errno;
    } else if (!S_ISREG(status.st_mode) || status.st_size > (off_t)STATE_FILE_LIMIT) {
        error = EFBIG;
    } else if ((content = calloc((size_t)status.st_size + 1, 1)) == NULL) {
        error = ENOMEM;
    }
    while (error == 0 && *length < (size_t)status.st_size) {
        ssize_t got = read(handle, content + *length, (size_t)status.st_size - *length);
        if (got <= 0) {
            error = got < 0 ? errno : 0;
            break;
        }
        *length += (size_t)got;
    }
    close(handle);
    if (error != 0) {
        free(content);
        content = NULL;
    }
    errno = error;
    return content;
}

static bool content_tell(const struct state_file *file, void (*each)(void *, const char *, size_t),
                         void *context, char *why, size_t why_size)
{
    size_t length = 0;
    char *content = content_read(file, &length);
    if (content == NULL) {
        return errno == 0 || refuse(file, "cannot be read", errno, why, why_size);
    }
    const char *line = content;
    const char *end = NULL;
    while ((end = memchr(line, '\n', length - (size_t)(line - content))) != NULL) {
        each(context, line, (size_t)(end - line));
        line = end + 1;
    }
    free(content);
    return true;
}

struct state_file *state_file_open(const char *path, void (*each)(void *, const char *, size_t),
                                   void *context, char *why, size_t why_size)
{
    struct state_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    file->handle = file->kept_handle = -1;
    int length = snprintf(file->path, sizeof(file->path), "%s", path);
    if (length < 0 ||
        (size_t)snprintf(file->fresh, sizeof(file->fresh), "%s.new", path) >= sizeof(file->fresh)) {
        refuse(file, "cannot be used", ENAMETOOLONG, why, why_size);
    } else if (content_tell(file, each, context, why, why_size)) {
        return file;
    }
    free(file);
    return NULL;
}

static void handle_close(int handle)
{
    if (handle >= 0) {
        close(handle);
    }
}

void state_file_close(struct state_file *file)
{
    if (file != NULL) {
        handle_close(file->handle);
        handle_close(file->kept_handle);
        free(file);
    }
}

bool state_file_begin(struct state_file *file, char *why, size_t why_size)
{
    (void)unlink(file->fresh); /* one that was never committed */
    int handle =
        open(file->fresh, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (handle < 0) {
        return refuse(file, "cannot be written anew beside itself (its folder must be the broker's)", errno,
                      why, why_size);
    }
    file->kept_handle = file->handle;
    file->kept_size = file->size;
    file->handle = handle;
    file->size = 0;
    return true;
}

void state_file_abandon(struct state_file *file)
{
    (void)unlink(file->fresh);
    handle_close(file->handle);
    file->handle = file->kept_handle;
    file->size = file->kept_size;
    file->kept_handle = -1;
    file->size_at_commit = file->size; /* not tried again at once */
}

bool state_file_commit(struct state_file *file, char *why, size_t why_size)
{
    if (fsync(file->handle) == 0 && rename(file->fresh, file->path) == 0) {
        handle_close(file->kept_handle);
        file->kept_handle = -1;
        file->size_at_commit = file->size;
        return true;
    }
    refuse(file, "cannot be written anew", errno, why, why_size);
    state_file_abandon(file);
    return false;
}

bool state_file_append(struct state_file *file, const char *line, size_t length)
{
    char text[] = "\n";
    struct iovec pieces[2] = {{(void *)(uintptr_t)line, length}, {text, 1}};
    if (file->handle < 0 || length > STATE_FILE_LINE_LIMIT || memchr(line, '\n', length) != NULL) {
        return false;
    }
    ssize_t written = writev(file->handle, pieces, 2);
    if (written == (ssize_t)length + 1) {
        file->size += written;
        return true;
    }
    /* Half a line would spoil the next one; where even that fails, it is passed over at the next start. */
    if (written > 0 && ftruncate(file->handle, file->size) != 0) {
        file->size += written;
    }
    return false;
}

bool state_file_grown(const struct state_file *file)
{
    off_t growth = file->size - file->size_at_commit;
    return growth > (off_t)STATE_FILE_GROWTH_LIMIT && growth > 3 * file->size_at_commit;
}
