/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_CONNECTION_INBOX_H
#define GROUPSEAL_AGENTS_CONNECTION_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What Paho's threads tell the owner of a connection: a bounded queue with an eventfd. Paho calls back with
 * its global mutex held, so its side only copies, appends and signals; everything else is done by the
 * owner's thread.
 */
enum inbox_kind {
    INBOX_CONNECTED = 1,
    INBOX_FAILED,     /* code, text */
    INBOX_LOST,       /* text */
    INBOX_MESSAGE,    /* topic, payload, retained */
    INBOX_SUBSCRIBED, /* number of the subscription; code 0, else refused or failed */
    INBOX_DISCONNECTED,
};

struct inbox_item {
    struct inbox_item *next;
    enum inbox_kind kind;
    int code;
    bool retained;
    size_t number;
    char *text; /* the topic, or an explanation; may be NULL */
    uint8_t *payload;
    size_t length;
};

/* Beyond these a message is dropped and counted; other kinds always fit. */
#define INBOX_ITEMS_LIMIT 16384u
#define INBOX_BYTES_LIMIT ((size_t)64 * 1024 * 1024)

struct inbox;

struct inbox *inbox_new(void); /* NULL: errno says why */
void inbox_free(struct inbox *inbox);
int inbox_fd(const struct inbox *inbox); /* readable while an item waits */

/* Any thread. Copies; out of memory drops the item and counts it. */
void inbox_put(struct inbox *inbox, enum inbox_kind kind, int code, size_t number, const char *text);
void inbox_put_message(struct inbox *inbox, const char *topic, size_t topic_length, const void *payload,
                       size_t length, bool retained);
/* Keeps the newest line of the TLS library's explanation, for the failure that follows. */
void inbox_note(struct inbox *inbox, const char *text, size_t length);

/* The owner's thread. The next item, freed with inbox_item_free; NULL: none. */
struct inbox_item *inbox_take(struct inbox *inbox);
void inbox_item_free(struct inbox_item *item);
void inbox_noted(struct inbox *inbox, char *out, size_t size); /* takes the note; "" where there is none */
uint64_t inbox_dropped(struct inbox *inbox);                   /* since the last call */

#endif
