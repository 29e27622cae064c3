/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_CONF_FILE_H
#define GROUPSEAL_PLUGIN_CONF_FILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The lines of a mosquitto.conf, as the broker reads them: a name, and the rest of the line as its value;
 * comments and empty lines left out; at each include_dir the *.conf files of that folder, in byte order of
 * their names.
 */
#define CONF_FILE_LIMIT 1048576u /* bytes of a file */
#define CONF_FILES_LIMIT 256u
#define CONF_LINES_LIMIT 65536u

struct conf_line {
    const char *file;
    unsigned number;
    char *name;
    char *value; /* "" where there is none */
};

struct conf {
    struct conf_line *lines;
    size_t count;
    char **texts; /* what the lines point into */
    size_t text_count;
    char **files; /* names */
    size_t file_count;
};

/* False: `why` says which file cannot be read, and why. To be cleared in either case. */
bool conf_read(struct conf *conf, const char *path, char *why, size_t why_size);
/* One file's text, for tests; include_dir is refused in it. */
bool conf_text(struct conf *conf, const char *name, const char *text, char *why, size_t why_size);
void conf_clear(struct conf *conf);

#endif
