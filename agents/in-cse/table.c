/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/table.h"

#include "agents/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct table {
    const char *const *titles;
    size_t columns;
    char **cells; /* rows × columns */
    size_t rows;
    size_t room; /* rows */
    bool incomplete;
};

struct table *table_new(const char *const *titles, size_t columns)
{
    struct table *table = calloc(1, sizeof(*table));
    if (table != NULL) {
        table->titles = titles;
        table->columns = columns;
    }
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

/* C0 and C1 control characters, DEL, and the marks that turn the direction of text around. */
static bool steers(const uint8_t *character, size_t size)
{
    if (size == 1) {
        return character[0] < ' ' || character[0] == 0x7f;
    }
    if (size == 2) {
        return character[0] == 0xc2 && character[1] < 0xa0;
    }
    return size == 3 && character[0] == 0xe2 &&
           ((character[1] == 0x80 && (character[2] == 0x8e || character[2] == 0x8f ||
                                      (character[2] >= 0xa8 && character[2] <= 0xae))) ||
            (character[1] == 0x81 && character[2] >= 0xa6 && character[2] <= 0xa9));
}

char *table_clean(const char *text)
{
    size_t length = strlen(text);
    char *clean = malloc(length + 1);
    if (clean == NULL) {
        return NULL;
    }
    size_t written = 0;
    for (size_t i = 0; i < length;) {
        const uint8_t *here = (const uint8_t *)text + i;
        size_t size = utf8_character(here, length - i);
        if (size == 0 || steers(here, size)) {
            clean[written++] = '?';
            i += size > 0 ? size : 1;
        } else {
            memcpy(clean + written, here, size);
            written += size;
            i += size;
        }
    }
    clean[written] = '\0';
    return clean;
}

static bool room_make(struct table *table)
{
    if (table->rows < table->room) {
        return true;
    }
    size_t room = table->room == 0 ? 16 : table->room * 2;
    char **cells = reallocarray(table->cells, room * table->columns, sizeof(*cells));
    if (cells == NULL) {
        return false;
    }
    table->cells = cells;
    table->room = room;
    return true;
}

void table_row(struct table *table, const char *const *cells)
{
    if (!room_make(table)) {
        table->incomplete = true;
        return;
    }
    char **row = table->cells + table->rows * table->columns;
    for (size_t i = 0; i < table->columns; i++) {
        row[i] = table_clean(cells[i] != NULL && cells[i][0] != '\0' ? cells[i] : "-");
        if (row[i] == NULL) {
            while (i > 0) {
                free(row[--i]);
            }
            table->incomplete = true;
            return;
        }
    }
    table->rows++;
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static size_t column_width(const struct table *table, size_t column)
{
    size_t width = width_of(table->titles[column]);
    for (size_t row = 0; row < table->rows; row++) {
        size_t cell = width_of(table->cells[row * table->columns + column]);
        width = cell > width ? cell : width;
    }
    return width;
}

static void cell_print(const char *text, size_t width, bool last, FILE *out)
{
    fputs(text, out);
    if (last) {
        fputc('\n', out);
        return;
    }
    for (size_t i = width_of(text); i < width + 2; i++) {
        fputc(' ', out);
    }
}

int table_print(const struct table *table, const char *none, FILE *out)
{
    if (table->rows == 0 && !table->incomplete) {
        fprintf(out, "%s\n", none);
        return 0;
    }
    size_t *widths = calloc(table->columns, sizeof(*widths));
    if (widths == NULL) {
        return -1;
    }
    for (size_t column = 0; column < table->columns; column++) {
        widths[column] = column_width(table, column);
    }
    for (size_t row = 0; row <= table->rows; row++) {
        const char *const *cells =
            row == 0 ? table->titles : (const char *const *)table->cells + (row - 1) * table->columns;
        for (size_t column = 0; column < table->columns; column++) {
            cell_print(cells[column], widths[column], column + 1 == table->columns, out);
        }
    }
    free(widths);
    return table->incomplete ? -1 : 0;
}
