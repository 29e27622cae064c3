/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_STATE_FILE_H
#define GROUPSEAL_PLUGIN_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Lines that are to be there after a restart, in a file that they are appended to, mode 0600, each with a
 * check of its own. When the file has grown, it is written anew as PATH.new and takes its place whole; the
 * one before stays as PATH.old. What a power cut or a bad disk leaves is found at the next start: lines that
 * are whole are told, the others are passed over, and where any are missing within the file the one before is
 * told first.
 *
 * One thread, but for state_file_sync and state_file_settle, which wait for the disk: another may run one of
 * them meanwhile.
 */
struct state_file;

#define STATE_FILE_LINE_LIMIT 65536u
#define STATE_FILE_LIMIT 67108864u       /* 64 MiB: nothing is appended beyond */
#define STATE_FILE_GROWTH_LIMIT 1048576u /* bytes appended before the file is worth writing anew */

/* What was there at the start. */
struct state_file_found {
    size_t lines; /* told, those of the file before included */
    size_t lost;  /* bytes of no whole line */
    bool damaged; /* not only at the end, as a power cut leaves it */
    bool before;  /* the file before was told first */
};

/* Reads what is there (no file is none) and calls `each` for each whole line. NULL: `why` says what is wrong
 * with the place; whatever a file contains is no reason. */
struct state_file *state_file_open(const char *path,
                                   void (*each)(void *context, const char *line, size_t length),
                                   void *context, struct state_file_found *found, char *why, size_t why_size)
    __attribute__((warn_unused_result));
void state_file_close(struct state_file *file); /* NULL is allowed */

/* Appends from now on to a new file only: all that it is to begin with. False: `why` says what is wrong, with
 * errno, and the old file goes on. */
bool state_file_begin(struct state_file *file, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* It has that. Lines go to both until one of them is let go. */
void state_file_begun(struct state_file *file);
/* The new file is let go, and the old one goes on. */
void state_file_abandon(struct state_file *file);
/* Brings the new file to the disk and into its place, which state_file_sync makes lasting. 0, or errno. */
int state_file_settle(const struct state_file *file) __attribute__((warn_unused_result));
/* It has taken its place: the old one is let go. */
void state_file_commit(struct state_file *file);

/* False: it was not written, and the file is as before. */
bool state_file_append(struct state_file *file, const char *line, size_t length)
    __attribute__((warn_unused_result));
/* What was appended so far is taken back by no power cut. 0, or errno. */
int state_file_sync(const struct state_file *file) __attribute__((warn_unused_result));

/* True where so much was appended that the file should be written anew. */
bool state_file_grown(const struct state_file *file);

#endif
