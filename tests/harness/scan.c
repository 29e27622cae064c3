/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Looks for many byte strings in standard input at once, in one pass: thousands of keys in the memory of a
 * process.
 *
 *   scan NEEDLES <data      NEEDLES: one a line, in hexadecimal digits, at least 8 bytes each
 *
 * Prints the line number (from 1) of each needle that is there. Exit status 0, or 2 for trouble.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 8u
#define TABLE_BITS 20u
#define NEEDLES_LIMIT 100000u
#define LINE_LIMIT 40000u

struct needle {
    uint8_t *bytes;
    size_t length;
    bool found;
    uint32_t next; /* in its chain, plus one */
};

static struct needle needles[NEEDLES_LIMIT];
static size_t needle_count;
static uint32_t chains[1u << TABLE_BITS]; /* the first needle that starts with such a window, plus one */

static uint32_t window_hash(const uint8_t *bytes)
{
    uint64_t window = 0;
    memcpy(&window, bytes, WINDOW);
    return (uint32_t)(window * 0x9e3779b97f4a7c15u >> (64u - TABLE_BITS));
}

static bool needle_add(const char *line, size_t digits)
{
    struct needle *needle = &needles[needle_count];
    needle->length = digits / 2;
    needle->bytes = malloc(needle->length + 1);
    if (needle->bytes == NULL || needle->length < WINDOW) {
        return false;
    }
    for (size_t i = 0; i < needle->length; i++) {
        char digit[3] = {line[2 * i], line[2 * i + 1], '\0'};
        char *end = NULL;
        needle->bytes[i] = (uint8_t)strtoul(digit, &end, 16);
        if (*end != '\0') {
            return false;
        }
    }
    uint32_t *chain = &chains[window_hash(needle->bytes)];
    needle->next = *chain;
    *chain = (uint32_t)++needle_count;
    return true;
}

static bool needles_read(const char *path)
{
    static char line[LINE_LIMIT];
    FILE *file = fopen(path, "r");
    bool good = file != NULL;
    while (good && fgets(line, sizeof(line), file) != NULL) {
        size_t digits = strcspn(line, "\n");
        good = line[digits] == '\n' && digits % 2 == 0 && needle_count < NEEDLES_LIMIT &&
               needle_add(line, digits);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return good;
}

static void search(const uint8_t *data, size_t length)
{
    for (size_t at = 0; at + WINDOW <= length; at++) {
        for (uint32_t i = chains[window_hash(data + at)]; i != 0; i = needles[i - 1].next) {
            struct needle *needle = &needles[i - 1];
            if (!needle->found && needle->length <= length - at &&
                memcmp(data + at, needle->bytes, needle->length) == 0) {
                needle->found = true;
                printf("%u\n", (unsigned)i);
            }
        }
    }
}

/* All of standard input; NULL: no memory, or it cannot be read. */
static uint8_t *data_read(size_t *length)
{
    size_t room = 1u << 20;
    uint8_t *data = malloc(room);
    *length = 0;
    while (data != NULL) {
        *length += fread(data + *length, 1, room - *length, stdin);
        if (*length < room) {
            return ferror(stdin) ? NULL : data;
        }
        room *= 2;
        data = realloc(data, room);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    size_t length = 0;
    if (argc != 2 || !needles_read(argv[1])) {
        (void)fprintf(stderr, "usage: scan NEEDLES <data (or a line of NEEDLES is malformed)\n");
        return 2;
    }
    uint8_t *data = data_read(&length);
    if (data == NULL) {
        (void)fprintf(stderr, "scan: the data cannot be read\n");
        return 2;
    }
    search(data, length);
    free(data);
    return 0;
}
