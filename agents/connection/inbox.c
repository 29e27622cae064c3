/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/connection/inbox.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct inbox {
    pthread_mutex_t mutex;
    int fd;
    struct inbox_item *first;
    struct inbox_item **last;
    size_t items;
    size_t bytes;
    uint64_t dropped;
    char note[256];
};

struct inbox *inbox_new(void)
{
    struct inbox *inbox = calloc(1, sizeof(*inbox));
    if (inbox == NULL) {
        return NULL;
    }
    inbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inbox->fd < 0) {
        free(inbox);
        return NULL;
    }
    pthread_mutex_init(&inbox->mutex, NULL);
    inbox->last = &inbox->first;
    return inbox;
}

void inbox_free(struct inbox *inbox)
{
    if (inbox == NULL) {
        return;
    }
    struct inbox_item *item;
    while ((item = inbox_take(inbox)) != NULL) {
        inbox_item_free(item);
    }
    close(inbox->fd);
    pthread_mutex_destroy(&inbox->mutex);
    free(inbox);
}

int inbox_fd(const struct inbox *inbox)
{
    return inbox->fd;
}

static struct inbox_item *item_new(enum inbox_kind kind, const char *text, size_t text_length,
                                   const void *payload, size_t length)
{
    struct inbox_item *item = calloc(1, sizeof(*item));
    if (item == NULL) {
        return NULL;
    }
    item->kind = kind;
    item->length = length;
    item->text = text != NULL ? strndup(text, text_length) : NULL;
    item->payload = malloc(length + 1);
    if (item->payload == NULL || (text != NULL && item->text == NULL)) {
        inbox_item_free(item);
        return NULL;
    }
    if (length > 0) {
        memcpy(item->payload, payload, length);
    }
    item->payload[length] = '\0'; /* for parsers of text */
    return item;
}

/* Appends, or counts as dropped where the item is NULL or a message too many. */
static void append(struct inbox *inbox, struct inbox_item *item)
{
    pthread_mutex_lock(&inbox->mutex);
    bool full = item != NULL && item->kind == INBOX_MESSAGE &&
                (inbox->items >= INBOX_ITEMS_LIMIT || inbox->bytes + item->length > INBOX_BYTES_LIMIT);
    bool kept = item != NULL && !full;
    if (kept) {
        *inbox->last = item;
        inbox->last = &item->next;
        inbox->items++;
        inbox->bytes += item->length;
    } else {
        inbox->dropped++;
    }
    pthread_mutex_unlock(&inbox->mutex);
    if (!kept) {
        inbox_item_free(item);
    }
    eventfd_write(inbox->fd, 1);
}

void inbox_put(struct inbox *inbox, enum inbox_kind kind, int code, size_t number, const char *text)
{
    struct inbox_item *item = item_new(kind, text, text != NULL ? strlen(text) : 0, NULL, 0);
    if (item != NULL) {
        item->code = code;
        item->number = number;
    }
    append(inbox, item);
}

void inbox_put_message(struct inbox *inbox, const char *topic, size_t topic_length, const void *payload,
                       size_t length, bool retained)
{
    struct inbox_item *item = item_new(INBOX_MESSAGE, topic, topic_length, payload, length);
    if (item != NULL) {
        item->retained = retained;
    }
    append(inbox, item);
}

void inbox_note(struct inbox *inbox, const char *text, size_t length)
{
    pthread_mutex_lock(&inbox->mutex);
    snprintf(inbox->note, sizeof(inbox->note), "%.*s", (int)(length < 4096 ? length : 4096), text);
    inbox->note[strcspn(inbox->note, "\r\n")] = '\0';
    pthread_mutex_unlock(&inbox->mutex);
}

struct inbox_item *inbox_take(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    struct inbox_item *item = inbox->first;
    if (item != NULL) {
        inbox->first = item->next;
        if (inbox->first == NULL) {
            inbox->last = &inbox->first;
        }
        inbox->items--;
        inbox->bytes -= item->length;
    } else {
        eventfd_t ignored;
        eventfd_read(inbox->fd, &ignored); /* under the mutex: a signal after it stays */
    }
    pthread_mutex_unlock(&inbox->mutex);
    return item;
}

void inbox_item_free(struct inbox_item *item)
{
    if (item == NULL) {
        return;
    }
    free(item->text);
    free(item->payload);
    free(item);
}

void inbox_noted(struct inbox *inbox, char *out, size_t size)
{
    pthread_mutex_lock(&inbox->mutex);
    snprintf(out, size, "%s", inbox->note);
    inbox->note[0] = '\0';
    pthread_mutex_unlock(&inbox->mutex);
}

uint64_t inbox_dropped(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    uint64_t dropped = inbox->dropped;
    inbox->dropped = 0;
    pthread_mutex_unlock(&inbox->mutex);
    return dropped;
}
