/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_CHECKS_H
#define GROUPSEAL_PLUGIN_CHECKS_H

#include "plugin/check/conf_file.h"

/*
 * What is wrong with a broker's configuration for an MN-CSE: our options, its listeners, the order of its
 * plugins, what its bridges carry. Each complaint has the line that it is about and the line to write.
 */
enum check_rank { CHECK_WARNING, CHECK_ERROR };

struct complaint {
    enum check_rank rank;
    const char *file;
    unsigned line;
    const char *text;
};
typedef void (*check_tell)(void *context, const struct complaint *complaint);

/* Returns how many errors there were. */
unsigned checks_run(const struct conf *conf, check_tell tell, void *context);

/* True where some topic matches both filters. */
bool filters_overlap(const char *left, const char *right);

#endif
