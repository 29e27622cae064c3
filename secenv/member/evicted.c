/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/evicted.h"

bool evicted_has(const struct evicted_senders *senders, uint64_t incarnation, uint64_t serial)
{
    size_t count = senders->noted < EVICTED_REMEMBERED ? senders->noted : EVICTED_REMEMBERED;
    for (size_t i = 0; i < count; i++) {
        if (senders->items[i].incarnation == incarnation && senders->items[i].serial == serial) {
            return true;
        }
    }
    return false;
}

void evicted_note(struct evicted_senders *senders, const Groupseal__Envelope__Announcement *announcement)
{
    struct evicted_sender sender = {announcement->incarnation, 0};
    for (size_t i = 0; i < announcement->n_evicted; i++) {
        sender.serial += announcement->evicted[i];
        if (!evicted_has(senders, sender.incarnation, sender.serial)) {
            senders->items[senders->noted++ % EVICTED_REMEMBERED] = sender;
        }
    }
}
