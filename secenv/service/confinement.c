/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "secenv/log.h"

#define RANDOM_NUMBERS "/dev/urandom"
#define KILL_PROCESS_LEVEL 3u /* of libseccomp's interface: kernels with SECCOMP_RET_KILL_PROCESS */

/* Where a trapped openat has its second argument, and where its result goes. */
#if defined(__x86_64__)
#define PROCESSOR_KNOWN true
#define OPEN_PATH(trap) ((const char *)(trap)->uc_mcontext.gregs[REG_RSI])
#define OPEN_RETURN(trap, result) ((trap)->uc_mcontext.gregs[REG_RAX] = (result))
#elif defined(__aarch64__)
#define PROCESSOR_KNOWN true
#define OPEN_PATH(trap) ((const char *)(trap)->uc_mcontext.regs[1])
#define OPEN_RETURN(trap, result) ((trap)->uc_mcontext.regs[0] = (unsigned long long)(result))
#else
#define PROCESSOR_KNOWN false
#define OPEN_PATH(trap) ((void)(trap), "")
#define OPEN_RETURN(trap, result) ((void)(result))
#endif

/*
 * Seen with strace over both profiles, or read in the sources of who calls. The numbers are those of the
 * 64-bit x86-64 and AArch64; what one of the two does not have, libseccomp leaves out there.
 *
 * Nothing is opened: SQLite has its files open for good (store_settle), the evictions file is held open, and
 * for random numbers see open_answer.
 */
static const int allowed[] = {
    /* sockets that are there: clients come, speak and go */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(restart_syscall), /* poll, after SIGSTOP and SIGCONT */
    SCMP_SYS(accept4),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(geteuid),
    SCMP_SYS(close),
    /* the store, the evictions file, the log */
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(pwrite64),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fstat),
    SCMP_SYS(stat), /* SQLite: is the database still where it was? */
    SCMP_SYS(newfstatat),
    SCMP_SYS(unlink), /* at the end: the write-ahead log, and the files of the sockets */
    SCMP_SYS(unlinkat),
    /* memory; mmap and mprotect are below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap), /* realloc of what is large */
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(sysinfo), /* qsort asks how much memory there is */
    /* random numbers: wolfSSL's generator asks whether it is in the process that it was seeded in */
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(rt_sigreturn), /* from open_answer */
    /* clocks, where the vDSO cannot read them */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    /* the end: ours; and the C library's, which says what it has found and ends by SIGABRT (tgkill is below)
     */
    SCMP_SYS(exit_group),
    SCMP_SYS(writev),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigprocmask),
};

/* Allowed where (argument & mask) is the value. */
struct limited {
    int call;
    unsigned argument; /* counted from 0 */
    uint64_t mask;
    uint64_t value;
};

#define WHOLE_INT UINT32_MAX /* the kernel reads no more of an int, whatever else its register holds */

static const struct limited limited[] = {
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0}, /* the allocator, when it is short of memory */
    {SCMP_SYS(fcntl), 1, WHOLE_INT, F_SETFL},
    {SCMP_SYS(fcntl), 1, WHOLE_INT, F_SETLK},         /* SQLite, when it closes */
    {SCMP_SYS(fcntl), 1, WHOLE_INT, F_DUPFD_CLOEXEC}, /* open_answer */
    {SCMP_SYS(getsockopt), 1, WHOLE_INT, SOL_SOCKET}, /* who has connected? */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- random numbers ---- */

static int random_numbers = -1; /* RANDOM_NUMBERS, open from the start to the end of the process */

/*
 * wolfSSL opens RANDOM_NUMBERS for each seed, several in a handshake, and has no other way everywhere. The
 * kernel opens nothing any more, but hands openat to this: the one path is answered with a copy of the
 * descriptor, any other ends the process.
 */
static void open_answer(int signal, siginfo_t *information, void *context)
{
    ucontext_t *trap = context;
    (void)signal;
    (void)information;
    int error = errno;
    if (strcmp(OPEN_PATH(trap), RANDOM_NUMBERS) != 0) {
        (void)kill(getpid(), SIGSYS); /* which is not allowed either, and so is the end */
    }
    int copy = fcntl(random_numbers, F_DUPFD_CLOEXEC, 0);
    OPEN_RETURN(trap, copy >= 0 ? copy : -errno);
    errno = error;
}

static int open_answer_set(void)
{
    struct sigaction action = {.sa_sigaction = open_answer, .sa_flags = SA_SIGINFO};
    if (random_numbers < 0) {
        random_numbers = open(RANDOM_NUMBERS, O_RDONLY | O_CLOEXEC);
    }
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGSYS);
    return random_numbers >= 0 && sigaction(SIGSYS, &action, NULL) == 0 &&
                   sigprocmask(SIG_UNBLOCK, &trap, NULL) == 0
               ? 0
               : -errno;
}

/* ---- the filter ---- */

static int limited_add(scmp_filter_ctx filter, const struct limited *rule)
{
    struct scmp_arg_cmp compare = SCMP_CMP64(rule->argument, SCMP_CMP_MASKED_EQ, rule->mask, rule->value);
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call, 1, &compare);
}

static int rules_add(scmp_filter_ctx filter)
{
    struct limited own_signal = {SCMP_SYS(tgkill), 0, WHOLE_INT, (uint64_t)getpid()};
    int error = seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(openat), 0);
    for (size_t i = 0; i < COUNT(allowed) && error == 0; i++) {
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    for (size_t i = 0; i < COUNT(limited) && error == 0; i++) {
        error = limited_add(filter, &limited[i]);
    }
    return error != 0 ? error : limited_add(filter, &own_signal);
}

static int filter_load(scmp_filter_ctx filter)
{
    /* The calls of 32-bit programs, and x32's, have numbers of their own. */
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (error == 0) {
        error = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1); /* errors as the kernel says them */
    }
    if (error == 0) {
        error = rules_add(filter);
    }
    return error != 0 ? error : seccomp_load(filter);
}

/* Why there is no filter to be had; NULL where there is. */
static const char *obstacle(void)
{
#if defined(GROUPSEAL_UNCONFINED)
    return "this is a test build, whose sanitizers or counters do as they like";
#else
    if (!PROCESSOR_KNOWN) {
        return "which are needed on this processor is not known";
    }
    if (seccomp_api_get() < KILL_PROCESS_LEVEL) {
        return "there is no filter; Linux has them from 4.14, with CONFIG_SECCOMP_FILTER";
    }
    return NULL;
#endif
}

enum result confinement_enter(struct reason *why)
{
    const char *reason = obstacle();
    if (reason != NULL) {
        log_line(LOG_LEVEL_WARNING, "system calls are not limited: %s", reason);
        return RESULT_OK;
    }
    tzset(); /* the C library reads its time zone once, when a time is first broken down */
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int error = filter == NULL ? -ENOMEM : open_answer_set();
    if (error == 0) {
        error = filter_load(filter);
    }
    seccomp_release(filter);
    return error == 0
               ? RESULT_OK
               : result_fail(why, RESULT_INTERNAL, "system calls cannot be limited: %s", strerror(-error));
}
