/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/moderation.h"

#include <stddef.h>
#include <stdio.h>

/* FNV-1a over both texts with their ends. */
static struct moderation_account *account_of(struct moderation *moderation, const char *for_whom,
                                             const char *originator)
{
    uint32_t hash = 2166136261u;
    const char *texts[] = {for_whom, originator};
    for (size_t i = 0; i < 2; i++) {
        const char *c = texts[i];
        do {
            hash = (hash ^ (unsigned char)*c) * 16777619u;
        } while (*c++ != '\0');
    }
    return &moderation->accounts[hash % MODERATION_ACCOUNTS];
}

static bool account_has_room(struct moderation_account *account, uint64_t now_us, uint64_t window_us,
                             unsigned limit)
{
    if (now_us - account->since_us >= window_us) {
        account->since_us = now_us;
        account->told = 0;
    }
    return account->told < limit;
}

bool moderation_take(struct moderation *moderation, const char *for_whom, const char *originator,
                     uint64_t now_us, char end[MODERATION_END_SIZE])
{
    struct moderation_account *account = account_of(moderation, for_whom, originator);
    end[0] = '\0';
    if (!account_has_room(account, now_us, MODERATION_EACH_US, MODERATION_EACH) ||
        (!moderation->unlimited_in_all &&
         !account_has_room(&moderation->all, now_us, MODERATION_ALL_US, MODERATION_ALL))) {
        account->hidden++;
        return false;
    }
    moderation->all.told++;
    account->told++;
    if (account->hidden != 0) {
        (void)snprintf(end, MODERATION_END_SIZE, " (and %u more, not shown)", account->hidden);
    }
    account->hidden = 0;
    return true;
}
