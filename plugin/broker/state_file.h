/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_STATE_FILE_H
#define GROUPSEAL_PLUGIN_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Lines that are to be there after a restart, in a file that they are appended to, mode 0600. An append is
 * one write and waits for no disk: after a power cut the last ones may be missing. When the file has grown,
 * it is written anew beside itself and takes its place whole. Main thread only.
 */
struct state_file;

#define STATE_FILE_LINE_LIMIT 65536u
#define STATE_FILE_LIMIT 67108864u       /* 64 MiB: a larger one is refused at the start */
#define STATE_FILE_GROWTH_LIMIT 1048576u /* bytes appended before the file is worth writing anew */

/* Reads what is there (no file is none) and calls `each` for each whole line; a last line that was cut short
 * is passed over. NULL: `why` says what is wrong with the file. */
struct state_file *state_file_open(const char *path,
                                   void (*each)(void *context, const char *line, size_t length),
                                   void *context, char *why, size_t why_size)
    __attribute__((warn_unused_result));
void state_file_close(struct state_file *file); /* NULL is allowed */

/* Appends from now on to a new, empty file, which takes the old one's place with state_file_commit; the lines
 * in between are all that it begins with. False: `why` says what is wrong, and the old file goes on. */
bool state_file_begin(struct state_file *file, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* The new file is let go, and the old one goes on. */
void state_file_abandon(struct state_file *file);
bool state_file_commit(struct state_file *file, char *why, size_t why_size)
    __attribute__((warn_unused_result));

/* False: it was not written, and the file is as before. */
bool state_file_append(struct state_file *file, const char *line, size_t length)
    __attribute__((warn_unused_result));

/* True where so much was appended that the file should be written anew. */
bool state_file_grown(const struct state_file *file);

#endif
