/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/metrics_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool file_fill(const char *path, const char *text, size_t length)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file < 0) {
        return false;
    }
    bool written = write(file, text, length) == (ssize_t)length;
    return close(file) == 0 && written;
}

bool metrics_file_write(const char *path, const char *text, size_t length, char *why, size_t why_size)
{
    char next[PATH_MAX];
    int size = snprintf(next, sizeof(next), "%s.next", path);
    if (size < 0 || (size_t)size >= sizeof(next)) {
        snprintf(why, why_size, "plugin_opt_metrics_file is too long");
        return false;
    }
    if (file_fill(next, text, length) && rename(next, path) == 0) {
        return true;
    }
    snprintf(why, why_size, "plugin_opt_metrics_file %.400s cannot be written: %s", path, strerror(errno));
    unlink(next);
    return false;
}
