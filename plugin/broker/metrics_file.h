/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_METRICS_FILE_H
#define GROUPSEAL_PLUGIN_METRICS_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces the file whole, so that a reader finds the old or the new text; not synced to the disk. False:
 * `why` says why not. */
bool metrics_file_write(const char *path, const char *text, size_t length, char *why, size_t why_size);

#endif
