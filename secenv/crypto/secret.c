/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/random.h>

#include "secenv/crypto/secret.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "secenv/log.h"

#define RANDOM_PIECE 65536u /* the generator's limit a call */

struct bytes secret_bytes(const struct secret *secret)
{
    return (struct bytes){secret->data, SECRET_SIZE};
}

void secret_wipe(struct secret *secret)
{
    secret_wipe_bytes(secret->data, SECRET_SIZE);
}

void secret_wipe_bytes(void *data, size_t length)
{
    if (length != 0) {
        explicit_bzero(data, length);
    }
}

bool secret_equal(const void *a, const void *b, size_t length)
{
    const volatile uint8_t *left = a;
    const volatile uint8_t *right = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < length; i++) {
        difference |= (uint8_t)(left[i] ^ right[i]);
    }
    return difference == 0;
}

enum result random_bytes(uint8_t *out, size_t length)
{
    static WC_RNG generator;
    static bool started;
    if (!started) {
        if (wc_InitRng(&generator) != 0) {
            return RESULT_INTERNAL;
        }
        started = true;
    }
    while (length != 0) {
        size_t piece = length > RANDOM_PIECE ? RANDOM_PIECE : length;
        if (wc_RNG_GenerateBlock(&generator, out, (word32)piece) != 0) {
            return RESULT_INTERNAL;
        }
        out += piece;
        length -= piece;
    }
    return RESULT_OK;
}

/* True where RLIMIT_MEMLOCK does not bind this process. */
static bool may_lock_everything(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_MEMLOCK, &limit);
        if (limit.rlim_max == RLIM_INFINITY) {
            return true;
        }
    }
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    memset(data, 0, sizeof(data));
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) != 0;
}

void secret_forbid_dumps(void)
{
    struct rlimit no_core = {0, 0};
    if (setrlimit(RLIMIT_CORE, &no_core) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        log_line(LOG_LEVEL_WARNING, "core dumps of this process cannot be forbidden: %s", strerror(errno));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        log_line(LOG_LEVEL_WARNING, "new privileges cannot be forbidden: %s", strerror(errno));
    }
}

void secret_protect_process(void)
{
    secret_forbid_dumps();
    /* With a limit, locking what comes later would make allocations fail one day: then only the
     * arenas are locked, as far as the limit goes. */
    if (!may_lock_everything()) {
        log_line(LOG_LEVEL_WARNING, "memory is locked only in part and may reach the swap: "
                                    "set RLIMIT_MEMLOCK (LimitMEMLOCK=) to infinity");
    } else if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        log_line(LOG_LEVEL_WARNING, "memory cannot be locked and may reach the swap: %s", strerror(errno));
    }
}
