/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_EVICTED_H
#define GROUPSEAL_SECENV_MEMBER_EVICTED_H

#include "secenv/objects/object.h"

/*
 * Senders that announcements have named as evicted. The roster says the same, but it travels by itself, and
 * may come after the key that it belongs to: until it does, an MN-CSE takes nothing of them, in whatever
 * epoch. Serials are never given again. In memory: the newest announcement is read again at a start.
 */
#define EVICTED_REMEMBERED ((size_t)4 * EVICTED_LIMIT)

struct evicted_sender {
    uint64_t incarnation;
    uint64_t serial;
};

struct evicted_senders {
    struct evicted_sender items[EVICTED_REMEMBERED];
    size_t noted; /* in all; the newest EVICTED_REMEMBERED are here */
};

void evicted_note(struct evicted_senders *senders, const Groupseal__Envelope__Announcement *announcement);
bool evicted_has(const struct evicted_senders *senders, uint64_t incarnation, uint64_t serial);

#endif
