/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/check/conf_file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool no_memory(char *why, size_t why_size)
{
    snprintf(why, why_size, "out of memory");
    return false;
}

/* Keeps a text or name as long as the configuration. Takes it, also on failure. */
static bool keep(char ***list, size_t *count, char *text)
{
    char **larger = realloc(*list, (*count + 1) * sizeof(*larger));
    if (larger == NULL || text == NULL) {
        free(text);
        *list = larger == NULL ? *list : larger;
        return false;
    }
    *list = larger;
    larger[(*count)++] = text;
    return true;
}

static char *file_text(const char *path, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : malloc(CONF_FILE_LIMIT + 1);
    size_t length = text == NULL ? 0 : fread(text, 1, CONF_FILE_LIMIT + 1, file);
    if (file == NULL || text == NULL || ferror(file)) {
        snprintf(why, why_size, "%s cannot be read: %s", path, strerror(errno));
        free(text);
        text = NULL;
    } else if (length > CONF_FILE_LIMIT || memchr(text, '\0', length) != NULL) {
        snprintf(why, why_size, "%s is no text of at most %u bytes", path, CONF_FILE_LIMIT);
        free(text);
        text = NULL;
    } else {
        text[length] = '\0';
    }
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

static bool line_add(struct conf *conf, const char *file, unsigned number, char *line, char *why,
                     size_t why_size)
{
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r", line[length - 1]) != NULL) {
        line[--length] = '\0';
    }
    line += strspn(line, " \t");
    if (line[0] == '\0' || line[0] == '#') {
        return true;
    }
    struct conf_line *larger =
        conf->count < CONF_LINES_LIMIT ? realloc(conf->lines, (conf->count + 1) * sizeof(*larger)) : NULL;
    if (larger == NULL) {
        return no_memory(why, why_size);
    }
    conf->lines = larger;
    char *value = line + strcspn(line, " \t");
    if (*value != '\0') {
        *value++ = '\0';
        value += strspn(value, " \t");
    }
    larger[conf->count++] = (struct conf_line){file, number, line, value};
    return true;
}

static bool file_take(struct conf *conf, char *name, char *text, bool inner, char *why, size_t why_size);

static int names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_in_conf(const char *name)
{
    size_t length = strlen(name);
    return length > 5 && strcmp(name + length - 5, ".conf") == 0;
}

static bool folder_names(const char *path, char ***names, size_t *count, char *why, size_t why_size)
{
    DIR *folder = opendir(path);
    const struct dirent *entry = NULL;
    bool good = folder != NULL;
    if (!good) {
        snprintf(why, why_size, "include_dir %s cannot be read: %s", path, strerror(errno));
    }
    while (good && (entry = readdir(folder)) != NULL) {
        char full[PATH_MAX];
        if (ends_in_conf(entry->d_name) && *count < CONF_FILES_LIMIT) {
            snprintf(full, sizeof(full), "%s/%s", path, entry->d_name);
            good = keep(names, count, strdup(full)) || no_memory(why, why_size);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return good;
}

static bool folder_take(struct conf *conf, const char *path, char *why, size_t why_size)
{
    char **names = NULL;
    size_t count = 0;
    bool good = folder_names(path, &names, &count, why, why_size);
    if (count > 0) {
        qsort(names, count, sizeof(*names), names_compare);
    }
    for (size_t i = 0; i < count; i++) {
        char *text = good ? file_text(names[i], why, why_size) : NULL;
        good = text != NULL && file_take(conf, names[i], text, true, why, why_size);
        if (text == NULL) {
            free(names[i]);
        }
    }
    free(names);
    return good;
}

/* Takes name and text, also on failure. */
static bool file_take(struct conf *conf, char *name, char *text, bool inner, char *why, size_t why_size)
{
    if (!keep(&conf->files, &conf->file_count, name)) {
        free(text);
        return no_memory(why, why_size);
    }
    if (!keep(&conf->texts, &conf->text_count, text)) {
        return no_memory(why, why_size);
    }
    unsigned number = 0;
    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n');
        size_t before = conf->count;
        if (end != NULL) {
            *end++ = '\0';
        }
        if (!line_add(conf, name, ++number, line, why, why_size)) {
            return false;
        }
        const struct conf_line *added = conf->count > before ? &conf->lines[before] : NULL;
        if (added != NULL && strcmp(added->name, "include_dir") == 0) {
            if (inner) { /* the broker refuses it, too */
                snprintf(why, why_size, "%s:%u: include_dir in a file that is included: remove it", name,
                         number);
                return false;
            }
            if (!folder_take(conf, added->value, why, why_size)) {
                return false;
            }
        }
        line = end;
    }
    return true;
}

bool conf_read(struct conf *conf, const char *path, char *why, size_t why_size)
{
    memset(conf, 0, sizeof(*conf));
    char *text = file_text(path, why, why_size);
    return text != NULL && file_take(conf, strdup(path), text, false, why, why_size);
}

bool conf_text(struct conf *conf, const char *name, const char *text, char *why, size_t why_size)
{
    memset(conf, 0, sizeof(*conf));
    char *copy = strdup(text);
    return copy != NULL && file_take(conf, strdup(name), copy, true, why, why_size);
}

void conf_clear(struct conf *conf)
{
    for (size_t i = 0; i < conf->text_count; i++) {
        free(conf->texts[i]);
    }
    for (size_t i = 0; i < conf->file_count; i++) {
        free(conf->files[i]);
    }
    free(conf->texts);
    free(conf->files);
    free(conf->lines);
    memset(conf, 0, sizeof(*conf));
}
