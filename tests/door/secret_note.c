/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/crypto/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTE_LIMIT 8192u /* bytes of one secret; a private key in PEM is the longest */

/* The file that GROUPSEAL_KEY_DOOR names; -1: none. Opened with the first secret, a store's root key: later
 * on the process may have given up opening files. */
static int door_open(void)
{
    static int door = -1;
    static bool tried;
    const char *path = getenv("GROUPSEAL_KEY_DOOR");
    if (!tried && path != NULL) {
        door = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    tried = true;
    return door;
}

/*
 * The door of the test build, for the memory scan only: appends `kind hex` and a newline for each secret.
 * One write a line, so that processes may share the file.
 */
void secret_note(const char *kind, const void *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    int door = door_open();
    if (door < 0 || length > NOTE_LIMIT) {
        return;
    }
    char line[128 + 2 * NOTE_LIMIT + 2];
    int start = snprintf(line, 128, "%s ", kind);
    if (start < 0 || start >= 128) {
        return;
    }
    for (int i = 0; i < start - 1; i++) {
        line[i] = line[i] == ' ' ? '-' : line[i]; /* "groupseal/v1 up" is one word */
    }
    size_t used = (size_t)start;
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++) {
        line[used++] = digits[bytes[i] >> 4];
        line[used++] = digits[bytes[i] & 15u];
    }
    line[used++] = '\n';
    if (write(door, line, used) != (ssize_t)used) {
        abort(); /* a note that is missing would let a scan pass that should not */
    }
}
