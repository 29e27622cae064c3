/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_ADN_AE_DEVICE_H
#define GROUPSEAL_AGENTS_ADN_AE_DEVICE_H

#include "agents/connection/connection.h"
#include "secenv/client/secenv_client.h"

/*
 * A device (ADN-AE) as a library: registers at its MN-CSE, carries the end-to-end objects of its secure
 * environment, follows the topics of its groups, gives commands and messages to the application, and takes
 * results and messages from it. It holds no group key: those are in the secure environment.
 *
 * Embedding: make a device, then either attach it to the sd_event loop you run, or poll device_fd for
 * readability and call device_turn whenever it is readable (and once at first). Nothing blocks, but for
 * device_free. One thread; callbacks come from that loop or from device_turn, never from inside device_say or
 * device_finish, and may call both. Paho and the TLS to the broker run on threads of their own, inside. A
 * process runs one device; signals are the application's (block those you take by signalfd before
 * device_new, so that Paho's threads inherit it).
 *
 * Connection, registration and secure environment are kept up by the device, by back-off; what fails is
 * logged to standard error, once for each kind of failure.
 */
struct device;

struct device_settings {
    const char *identity;              /* absolute AE-ID, as //sp.example/Sdoor1 */
    const char *registrar;             /* absolute CSE-ID of the MN-CSE, as //sp.example/mn-1 */
    const char *app_id;                /* oneM2M App-ID, "N…" or "R…" */
    struct connection_settings broker; /* client_id is set by the device */
    struct secenv_client_settings secenv;
};

#define DEVICE_COMMAND_ID_SIZE 16u
#define DEVICE_BODY_LIMIT ((size_t)16 * 1024) /* of a command and of a message */
#define DEVICE_DETAIL_LIMIT 200u              /* of a result */
#define DEVICE_MESSAGES_LIMIT 64u             /* that wait to be sent */

/* A command that was opened, verified, and is on disk: act on it now, exactly once. Views: copy what you
 * keep.
 */
struct device_command {
    const char *group;
    uint8_t id[DEVICE_COMMAND_ID_SIZE];
    const uint8_t *body;
    size_t length;
    uint64_t remaining_ms; /* until it expires */
    const char *commander; /* who ordered it: absolute id */
};

/* A message of another member. Unless `proven`, only that some member of the group said it is certain. */
struct device_message {
    const char *group;
    const char *sender; /* absolute AE-ID */
    const uint8_t *body;
    size_t length;
    bool proven;
};

struct device_callbacks {
    void (*command)(void *context, const struct device_command *command);
    void (*message)(void *context, const struct device_message *message);
    void (*joined)(void *context, const char *group);
    void (*departed)(void *context, const char *group, const char *reason);
};

/* `loop`: where to attach; NULL: a loop of its own, for device_fd and device_turn. All callbacks must be set;
 * settings are copied. NULL: `why` says what is wrong. */
struct device *device_new(struct sd_event *loop, const struct device_settings *settings,
                          const struct device_callbacks *callbacks, void *context, char *why,
                          size_t why_size);
/* Disconnects (at most 2 s), ends an embedded secure environment, frees. Messages that wait are answered as
 * not sent. NULL is allowed. */
void device_free(struct device *device);

int device_fd(const struct device *device);
/* Does what is due and returns. False: the event loop failed (out of memory): free the device. */
bool device_turn(struct device *device);

/*
 * The result of a command. `detail` (NULL: none) is cut at DEVICE_DETAIL_LIMIT bytes. Results are kept while
 * the secure environment is away. False: no memory, or more results wait than commands can be open.
 */
bool device_finish(struct device *device, const char *group, const uint8_t id[DEVICE_COMMAND_ID_SIZE],
                   bool done, const char *detail);

/* What became of a message: `error` is NULL where it was handed to the broker. */
typedef void device_said(void *context, const char *error);

/*
 * Seals a message for a group and publishes it. While the device is offline, not yet associated, not yet a
 * member, or its MN-CSE does not know the group's members yet, messages wait, at most DEVICE_MESSAGES_LIMIT
 * of them and each at most 60 s. `said` (NULL: nobody asks) comes exactly once, later, where this returns
 * true. False: too long, too many wait, or no memory.
 */
bool device_say(struct device *device, const char *group, const uint8_t *body, size_t length,
                device_said *said, void *context);

#endif
