/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/past_epochs.h"

void past_epochs_add(struct past_epochs *past, const struct epoch_key *key, uint64_t now_us)
{
    if (!key->present) {
        return;
    }
    size_t place = past->added++ % PAST_EPOCHS;
    past->keys[place] = *key;
    past->until_us[place] = now_us + PAST_EPOCH_US;
}

const struct epoch_key *past_epochs_find(const struct past_epochs *past, uint64_t epoch)
{
    for (size_t i = 0; i < PAST_EPOCHS; i++) {
        if (past->keys[i].present && past->keys[i].epoch == epoch) {
            return &past->keys[i];
        }
    }
    return NULL;
}

uint64_t past_epochs_oldest(const struct past_epochs *past, uint64_t otherwise)
{
    uint64_t oldest = otherwise;
    for (size_t i = 0; i < PAST_EPOCHS; i++) {
        if (past->keys[i].present && past->keys[i].epoch < oldest) {
            oldest = past->keys[i].epoch;
        }
    }
    return oldest;
}

static void key_wipe(struct epoch_key *key)
{
    secret_wipe(&key->secret);
    *key = (struct epoch_key){.present = false};
}

void past_epochs_turn(struct past_epochs *past, uint64_t now_us, uint64_t *next)
{
    for (size_t i = 0; i < PAST_EPOCHS; i++) {
        if (past->keys[i].present && past->until_us[i] <= now_us) {
            key_wipe(&past->keys[i]);
        } else if (past->keys[i].present && past->until_us[i] < *next) {
            *next = past->until_us[i];
        }
    }
}

void past_epochs_clear(struct past_epochs *past)
{
    for (size_t i = 0; i < PAST_EPOCHS; i++) {
        key_wipe(&past->keys[i]);
    }
}
