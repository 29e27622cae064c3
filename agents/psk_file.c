/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/psk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_LIMIT 512u
#define KEY_LEAST 16u

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The key's bytes from trimmed text; 0 where the text is not an even number of hexadecimal digits or too
 * long. */
static size_t decode(const char *text, size_t length, uint8_t *out, size_t size)
{
    if (length % 2 != 0 || length / 2 > size) {
        return 0;
    }
    for (size_t i = 0; i < length / 2; i++) {
        int high = digit(text[2 * i]);
        int low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return 0;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return length / 2;
}

/* Up to `size` bytes of a regular file; -1: errno says why. */
static ssize_t text_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -1;
    }
    struct stat status;
    ssize_t length = -1;
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        errno = EINVAL;
    } else {
        length = read(fd, text, size);
    }
    int error = errno;
    close(fd);
    errno = error;
    return length;
}

bool psk_file_read(const char *path, uint8_t *out, size_t size, size_t *length, char *why, size_t why_size)
{
    static const char space[] = " \t\r\n";
    char text[TEXT_LIMIT];

    ssize_t got = text_read(path, text, sizeof(text) - 1);
    if (got < 0) {
        snprintf(why, why_size, "cannot read the pre-shared key in %s: %s", path, strerror(errno));
        return false;
    }
    text[got] = '\0';
    const char *start = text + strspn(text, space);
    size_t digits = strcspn(start, space);
    bool alone = start[digits + strspn(start + digits, space)] == '\0' && (size_t)got < sizeof(text) - 1;
    *length = alone ? decode(start, digits, out, size) : 0;
    explicit_bzero(text, sizeof(text));
    if (*length < KEY_LEAST) {
        explicit_bzero(out, size);
        snprintf(why, why_size,
                 "%s holds no pre-shared key: it must be %u to %zu bytes in hexadecimal digits", path,
                 KEY_LEAST, size);
        return false;
    }
    return true;
}
