/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/roster_file.h"

#include <csv.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 6u

enum column { NAME, KIND, MODE, PSK_FILE, SITE, FUNCTIONS };

static const char *const titles[COLUMNS] = {"name", "kind", "mode", "psk_file", "site", "functions"};

struct reader {
    struct roster_file *out;
    char *fields[COLUMNS];
    size_t field_count;
    size_t row;
    char trouble[256]; /* the first one; the rest of the file is skipped then */
};

__attribute__((format(printf, 2, 3))) static void fail(struct reader *reader, const char *format, ...)
{
    if (reader->trouble[0] != '\0') {
        return;
    }
    int length = snprintf(reader->trouble, sizeof(reader->trouble), "row %zu: ", reader->row);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->trouble + length, sizeof(reader->trouble) - (size_t)length, format, arguments);
    va_end(arguments);
}

static void fields_clear(struct reader *reader)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        free(reader->fields[i]);
        reader->fields[i] = NULL;
    }
    reader->field_count = 0;
}

static void on_field(void *text, size_t length, void *context)
{
    struct reader *reader = context;
    size_t index = reader->field_count++;
    if (reader->trouble[0] != '\0' || index >= COLUMNS) {
        return; /* too many columns are said at the end of the row */
    }
    if (length > ROSTER_FIELD_LIMIT || (length > 0 && memchr(text, '\0', length) != NULL)) {
        fail(reader, "%s is too long, or holds a zero byte", titles[index]);
        return;
    }
    reader->fields[index] = strndup(text != NULL ? text : "", length);
    if (reader->fields[index] == NULL) {
        fail(reader, "out of memory");
    }
}

static bool header_right(const struct reader *reader)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if (strcmp(reader->fields[i], titles[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Cuts "door;exit" in place of copies of its own. */
static bool functions_read(struct reader *reader, struct roster_row *row)
{
    char *rest = reader->fields[FUNCTIONS];
    char *function = NULL;
    while ((function = strsep(&rest, ";")) != NULL) {
        if (function[0] == '\0') {
            continue;
        }
        if (row->function_count == ROSTER_FUNCTIONS_LIMIT) {
            fail(reader, "more than %u functions", ROSTER_FUNCTIONS_LIMIT);
            return false;
        }
        row->functions[row->function_count] = strdup(function);
        if (row->functions[row->function_count] == NULL) {
            fail(reader, "out of memory");
            return false;
        }
        row->function_count++;
    }
    return true;
}

static bool words_read(struct reader *reader, struct roster_row *row)
{
    const char *kind = reader->fields[KIND];
    const char *mode = reader->fields[MODE];
    row->mn_cse = strcmp(kind, "mn-cse") == 0;
    row->psk = strcmp(mode, "psk") == 0;
    if (!row->mn_cse && strcmp(kind, "adn-ae") != 0) {
        fail(reader, "kind must be adn-ae or mn-cse");
    } else if (!row->psk && strcmp(mode, "cert") != 0) {
        fail(reader, "mode must be cert or psk");
    } else if (row->psk != (reader->fields[PSK_FILE][0] != '\0')) {
        fail(reader, row->psk ? "mode psk needs a psk_file" : "mode cert has no psk_file");
    } else if (row->mn_cse == (reader->fields[SITE][0] != '\0')) {
        fail(reader, row->mn_cse ? "an mn-cse has no site, it is one" : "an adn-ae needs a site");
    } else if (reader->fields[NAME][0] == '\0') {
        fail(reader, "name is empty");
    } else {
        return true;
    }
    return false;
}

static void row_clear(struct roster_row *row)
{
    free(row->name);
    free(row->psk_file);
    free(row->site);
    for (size_t i = 0; i < row->function_count; i++) {
        free(row->functions[i]);
    }
    memset(row, 0, sizeof(*row));
}

static bool room_make(struct roster_file *file)
{
    if (file->count < file->room) {
        return true;
    }
    size_t room = file->room == 0 ? 64 : file->room * 2;
    struct roster_row *rows = reallocarray(file->rows, room, sizeof(*rows));
    if (rows == NULL) {
        return false;
    }
    file->rows = rows;
    file->room = room;
    return true;
}

static void row_take(struct reader *reader)
{
    struct roster_row row = {.line = reader->row};
    if (!words_read(reader, &row)) {
        return;
    }
    if (reader->out->count == ROSTER_FILE_LIMIT) {
        fail(reader, "more than %u members", ROSTER_FILE_LIMIT);
        return;
    }
    if (!functions_read(reader, &row) || !room_make(reader->out)) {
        row_clear(&row);
        fail(reader, "out of memory");
        return;
    }
    row.name = reader->fields[NAME];
    row.psk_file = reader->fields[PSK_FILE];
    row.site = reader->fields[SITE];
    reader->fields[NAME] = NULL;
    reader->fields[PSK_FILE] = NULL;
    reader->fields[SITE] = NULL;
    reader->out->rows[reader->out->count++] = row;
}

static void on_row(int terminator, void *context)
{
    struct reader *reader = context;
    (void)terminator;
    reader->row++;
    if (reader->trouble[0] == '\0') {
        if (reader->field_count != COLUMNS) {
            fail(reader, "%zu columns instead of %u", reader->field_count, COLUMNS);
        } else if (reader->row > 1) {
            row_take(reader);
        } else if (!header_right(reader)) {
            fail(reader, "the first row must be: name,kind,mode,psk_file,site,functions");
        }
    }
    fields_clear(reader);
}

bool roster_file_read(FILE *file, struct roster_file *out, char *why, size_t why_size)
{
    struct csv_parser parser;
    struct reader reader = {.out = out};
    char buffer[16384];
    size_t got = 0;

    memset(out, 0, sizeof(*out));
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    reader.row = 0;
    while (reader.trouble[0] == '\0' && (got = fread(buffer, 1, sizeof(buffer), file)) > 0) {
        if (csv_parse(&parser, buffer, got, on_field, on_row, &reader) != got) {
            reader.row++;
            fail(&reader, "not CSV: %s", csv_strerror(csv_error(&parser)));
        }
    }
    if (reader.trouble[0] == '\0' && ferror(file)) {
        snprintf(reader.trouble, sizeof(reader.trouble), "cannot read it: %s", strerror(errno));
    } else if (reader.trouble[0] == '\0' && csv_fini(&parser, on_field, on_row, &reader) != 0) {
        reader.row++;
        fail(&reader, "not CSV: %s", csv_strerror(csv_error(&parser)));
    }
    csv_free(&parser);
    fields_clear(&reader);
    if (reader.trouble[0] == '\0' && reader.row == 0) {
        snprintf(reader.trouble, sizeof(reader.trouble), "it is empty");
    }
    if (reader.trouble[0] == '\0') {
        return true;
    }
    snprintf(why, why_size, "%s", reader.trouble);
    roster_file_clear(out);
    return false;
}

void roster_file_clear(struct roster_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        row_clear(&file->rows[i]);
    }
    free(file->rows);
    memset(file, 0, sizeof(*file));
}
