/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "secenv/log.h"
#include "secenv/service/confinement.h"

#include "tests/unit/store_place.h"

/* ---- a process that enters, and does something ---- */

typedef void (*deed)(void *context);

/* In a child: what does not hold ends it with a status of its own. */
#define HOLDS(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)dprintf(STDERR_FILENO, "line %d: %s\n", __LINE__, #condition);                             \
            _exit(3);                                                                                        \
        }                                                                                                    \
    } while (0)

static void nothing(void *context)
{
    (void)context;
}

static void enter(void *context)
{
    struct reason why = {""};
    (void)context;
    HOLDS(confinement_enter(&why) == RESULT_OK);
}

/* Ends 0 when both deeds were survived. */
static int status_of(deed before, deed act, void *context)
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL); /* cmocka has handlers of its own */
        before(context);
        act(context);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool survived(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool ended_by(int status, int signal)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

/* ---- what ends the process; each of these is harmless where it is allowed ---- */

static void call_socket(void *context)
{
    (void)context;
    (void)socket(AF_UNIX, SOCK_STREAM, 0);
}

static void call_network_socket(void *context)
{
    (void)context;
    (void)socket(AF_INET, SOCK_DGRAM, 0);
}

static void call_socketpair(void *context)
{
    int pair[2];
    (void)context;
    (void)socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static void call_connect(void *context)
{
    struct sockaddr address = {.sa_family = AF_UNIX};
    (void)context;
    (void)connect(-1, &address, sizeof(address));
}

static void call_bind(void *context)
{
    struct sockaddr address = {.sa_family = AF_UNIX};
    (void)context;
    (void)bind(-1, &address, sizeof(address));
}

static void call_sendmsg(void *context) /* which could hand over descriptors */
{
    struct msghdr message = {0};
    (void)context;
    (void)sendmsg(-1, &message, 0);
}

static void call_recvmsg(void *context)
{
    struct msghdr message = {0};
    (void)context;
    (void)recvmsg(-1, &message, 0);
}

static void call_setsockopt(void *context)
{
    (void)context;
    (void)setsockopt(-1, SOL_SOCKET, SO_DEBUG, NULL, 0);
}

static void call_getsockopt_of_tcp(void *context)
{
    (void)context;
    (void)getsockopt(-1, IPPROTO_TCP, 1, NULL, NULL);
}

static void call_execve(void *context)
{
    char name[] = "true";
    char *arguments[] = {name, NULL};
    char *environment[] = {NULL};
    (void)context;
    (void)execve("/bin/true", arguments, environment);
}

static void call_fork(void *context)
{
    (void)context;
    if (fork() == 0) {
        _exit(0);
    }
}

static void call_vfork(void *context)
{
    (void)context;
    (void)syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, 0);
}

static void *idle(void *context)
{
    return context;
}

static void call_thread(void *context)
{
    pthread_t thread;
    (void)context;
    (void)pthread_create(&thread, NULL, idle, NULL);
}

static void call_kill(void *context)
{
    (void)context;
    (void)kill(getppid(), 0);
}

static void call_tgkill_of_another(void *context)
{
    (void)context;
    (void)syscall(SYS_tgkill, 1, 1, 0);
}

static void call_ptrace(void *context)
{
    (void)context;
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void call_process_vm_readv(void *context)
{
    (void)context;
    (void)process_vm_readv(1, NULL, 0, NULL, 0, 0);
}

static void call_process_vm_writev(void *context)
{
    (void)context;
    (void)process_vm_writev(1, NULL, 0, NULL, 0, 0);
}

static void call_prctl(void *context)
{
    (void)context;
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void call_open(void *context)
{
    (void)context;
    (void)open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void call_open_of_a_store(void *context)
{
    struct place *place = context;
    (void)open(place->key, O_RDONLY | O_CLOEXEC);
}

static void call_open_of_a_new_file(void *context)
{
    struct place *place = context;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/new", place->root);
    (void)open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void call_open_of_random_numbers_and_more(void *context)
{
    (void)context;
    (void)open("/dev/urandom/", O_RDONLY | O_CLOEXEC);
}

static void call_openat2(void *context)
{
    (void)context;
    (void)syscall(SYS_openat2, AT_FDCWD, "/dev/urandom", NULL, 0);
}

static void call_rename(void *context)
{
    struct place *place = context;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/absent", place->root);
    (void)rename(path, path);
}

static void call_chmod(void *context)
{
    (void)context;
    (void)chmod("", 0600);
}

static void call_mkdir(void *context)
{
    (void)context;
    (void)mkdir("", 0700);
}

static void call_ioctl(void *context)
{
    (void)context;
    (void)syscall(SYS_ioctl, -1, 0, 0);
}

static void call_dup(void *context)
{
    (void)context;
    (void)fcntl(-1, F_DUPFD, 0);
}

static void call_fcntl_of_signals(void *context)
{
    (void)context;
    (void)fcntl(-1, F_SETOWN, getpid());
}

static void call_mmap_of_code(void *context)
{
    (void)context;
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void call_mprotect_to_code(void *context)
{
    (void)context;
    (void)mprotect(NULL, 0, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void call_memfd_create(void *context)
{
    (void)context;
    (void)memfd_create("x", MFD_CLOEXEC);
}

static void call_io_uring_setup(void *context)
{
    (void)context;
    (void)syscall(SYS_io_uring_setup, 0, NULL);
}

static void call_setuid(void *context)
{
    (void)context;
    (void)syscall(SYS_setuid, geteuid());
}

static void call_unshare(void *context)
{
    (void)context;
    (void)unshare(0);
}

static void call_seccomp(void *context)
{
    (void)context;
    (void)syscall(SYS_seccomp, 0xffffffffu, 0, NULL);
}

static void call_of_no_number(void *context)
{
    (void)context;
    (void)syscall(4000);
}

#ifdef __x86_64__
static void call_of_x32(void *context)
{
    (void)context;
    (void)syscall(0x40000000 | SYS_getpid);
}
#endif

static const struct forbidden {
    const char *name;
    deed act;
} forbidden[] = {
    {"socket", call_socket},
    {"socket of the network", call_network_socket},
    {"socketpair", call_socketpair},
    {"connect", call_connect},
    {"bind", call_bind},
    {"sendmsg", call_sendmsg},
    {"recvmsg", call_recvmsg},
    {"setsockopt", call_setsockopt},
    {"getsockopt of TCP", call_getsockopt_of_tcp},
    {"execve", call_execve},
    {"fork", call_fork},
    {"vfork", call_vfork},
    {"thread", call_thread},
    {"kill", call_kill},
    {"tgkill of another process", call_tgkill_of_another},
    {"ptrace", call_ptrace},
    {"process_vm_readv", call_process_vm_readv},
    {"process_vm_writev", call_process_vm_writev},
    {"prctl", call_prctl},
    {"open", call_open},
    {"open of a store's root key", call_open_of_a_store},
    {"open of a new file", call_open_of_a_new_file},
    {"open of almost the random numbers", call_open_of_random_numbers_and_more},
    {"openat2", call_openat2},
    {"rename", call_rename},
    {"chmod", call_chmod},
    {"mkdir", call_mkdir},
    {"ioctl", call_ioctl},
    {"dup", call_dup},
    {"fcntl of signals", call_fcntl_of_signals},
    {"mmap of code", call_mmap_of_code},
    {"mprotect to code", call_mprotect_to_code},
    {"memfd_create", call_memfd_create},
    {"io_uring_setup", call_io_uring_setup},
    {"setuid", call_setuid},
    {"unshare", call_unshare},
    {"seccomp", call_seccomp},
    {"no call's number", call_of_no_number},
#ifdef __x86_64__
    {"getpid of x32", call_of_x32},
#endif
};

static void others_end_it(void **state)
{
    struct place *place = *state;
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        if (!survived(status_of(nothing, forbidden[i].act, place))) {
            fail_msg("%s: ends a process that is not confined", forbidden[i].name);
        }
        if (!ended_by(status_of(enter, forbidden[i].act, place), SIGSYS)) {
            fail_msg("%s: does not end a confined process", forbidden[i].name);
        }
    }
    assert_true(survived(status_of(enter, nothing, place)));
}

/* ---- what goes on ---- */

#define ROWS 3000
#define ROW_SIZE 4000u

static enum result row_count(void *context, const struct store_row *row, struct reason *why)
{
    int *count = context;
    (void)row;
    (void)why;
    (*count)++;
    return RESULT_OK;
}

static void rows_write(struct store *store, uint8_t content)
{
    static uint8_t data[ROW_SIZE];
    memset(data, content, sizeof(data));
    for (int64_t i = 0; i < ROWS; i++) {
        HOLDS(store_run(store, NULL, "INSERT OR REPLACE INTO thing VALUES (?, ?, ?)", "iub", i,
                        (uint64_t)(i * 7919 % ROWS), BYTES_OF(data)) == RESULT_OK);
    }
}

/* Checkpoints, a savepoint and a sort larger than what SQLite would hold in memory by itself, the close. */
static void store_work(void *context)
{
    struct place *place = context;
    struct store *store = place->store;
    int count = 0;
    for (uint8_t round = 0; round < 2; round++) {
        HOLDS(store_begin(store, NULL) == RESULT_OK);
        rows_write(store, round);
        HOLDS(store_savepoint(store, NULL) == RESULT_OK);
        rows_write(store, 0xff);
        store_rollback_to_savepoint(store);
        HOLDS(store_commit(store, NULL) == RESULT_OK);
    }
    HOLDS(store_query(store, NULL, row_count, &count, "SELECT data FROM thing ORDER BY number, data", "") ==
          RESULT_OK);
    HOLDS(count == ROWS);
    HOLDS(store_begin(store, NULL) == RESULT_OK);
    HOLDS(store_run(store, NULL, "DELETE FROM thing", "") == RESULT_OK);
    store_rollback(store);
    store_close(store);
}

static void store_open_and_enter(void *context)
{
    struct place *place = context;
    place_open(place);
    HOLDS(store_settle(place->store, NULL) == RESULT_OK);
    enter(NULL);
}

static void the_store_goes_on(void **state)
{
    struct place *place = *state;
    char log[128];
    store_close(place->store); /* one process a store */
    place->store = NULL;
    assert_true(survived(status_of(store_open_and_enter, store_work, place)));
    /* It was closed as it should be: the log has gone into the database and is away. */
    (void)snprintf(log, sizeof(log), "%s/store.db-wal", place->directory);
    assert_int_equal(access(log, F_OK), -1);
    place_open(place);
    int count = 0;
    assert_int_equal(store_query(place->store, NULL, row_count, &count, "SELECT data FROM thing", ""),
                     RESULT_OK);
    assert_int_equal(count, ROWS);
}

static void store_open_unsettled_and_enter(void *context)
{
    place_open(context);
    enter(NULL);
}

/* The twin: that nothing is opened is what store_settle is for. */
static void a_store_has_to_settle(void **state)
{
    struct place *place = *state;
    store_close(place->store);
    place->store = NULL;
    assert_true(ended_by(status_of(store_open_unsettled_and_enter, store_work, place), SIGSYS));
    place_open(place); /* a crash like any other */
}

/* wolfSSL seeds its generator anew after a million calls. */
static void random_work(void *context)
{
    uint8_t last[8] = {0};
    uint8_t next[8];
    (void)context;
    for (unsigned i = 0; i < 1000100u; i++) {
        HOLDS(random_bytes(next, sizeof(next)) == RESULT_OK);
        HOLDS(memcmp(last, next, sizeof(next)) != 0);
        memcpy(last, next, sizeof(next));
    }
    int file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    HOLDS(file >= 0 && read(file, next, sizeof(next)) == (ssize_t)sizeof(next) && close(file) == 0);
    HOLDS(memcmp(last, next, sizeof(next)) != 0);
    file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    HOLDS(file >= 0 && read(file, last, sizeof(last)) == (ssize_t)sizeof(last) && close(file) == 0);
    HOLDS(memcmp(last, next, sizeof(next)) != 0);
}

static void random_numbers_go_on(void **state)
{
    assert_true(survived(status_of(enter, random_work, *state)));
}

static int compare(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(int));
}

static void library_work(void *context)
{
    static int numbers[100000];
    struct tm tm;
    time_t now = time(NULL);
    struct timespec spec;
    (void)context;
    qsort(numbers, sizeof(numbers) / sizeof(numbers[0]), sizeof(numbers[0]), compare);
    uint8_t *memory = malloc(256u * 1024u);
    for (size_t size = 512u * 1024u; memory != NULL && size < 64u * 1024u * 1024u; size *= 2) {
        uint8_t *larger = realloc(memory, size);
        HOLDS(larger != NULL);
        larger[size - 1] = 1;
        memory = larger;
    }
    free(memory);
    HOLDS(gmtime_r(&now, &tm) != NULL && localtime_r(&now, &tm) != NULL);
    /* What the C library reads without the kernel, asked of the kernel. */
    HOLDS(syscall(SYS_clock_gettime, CLOCK_REALTIME, &spec) == 0);
    HOLDS(syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &spec) == 0);
    HOLDS(syscall(SYS_getrandom, numbers, sizeof(numbers[0]), 0) == (long)sizeof(numbers[0]));
    log_line(LOG_LEVEL_INFO, "the log goes on");
}

static void the_library_goes_on(void **state)
{
    assert_true(survived(status_of(enter, library_work, *state)));
}

static void exit_work(void *context)
{
    (void)context;
    exit(0);
}

static void abort_work(void *context)
{
    (void)context;
    abort();
}

static void both_ends_are_possible(void **state)
{
    assert_true(survived(status_of(enter, exit_work, *state)));
    assert_true(ended_by(status_of(enter, abort_work, *state), SIGABRT));
}

/* ---- under other filters ---- */

/* By hand, as libseccomp remembers what the kernel could do when it was first used. */
static void outer_filter(unsigned call)
{
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(instructions) / sizeof(instructions[0]), instructions};
    HOLDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    HOLDS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0);
    HOLDS(syscall(call, 0xffffffffu, 0, NULL) == -1 && errno == ENOSYS);
}

/* As in a container. */
static void enter_within_another(void *context)
{
    outer_filter(SYS_kexec_load);
    enter(context);
}

static void another_filter_before_ours(void **state)
{
    struct place *place = *state;
    assert_true(survived(status_of(enter_within_another, random_work, place)));
    assert_true(ended_by(status_of(enter_within_another, call_open, place), SIGSYS));
    assert_true(ended_by(status_of(enter_within_another, call_socket, place), SIGSYS));
}

/* As on a kernel without filters, whose warning goes into the pipe that `context` is. */
static void enter_without_filters(void *context)
{
    const int *warning = context;
    outer_filter(SYS_seccomp);
    HOLDS(dup2(*warning, STDERR_FILENO) == STDERR_FILENO);
    enter(NULL);
}

static void a_kernel_without_filters_warns(void **state)
{
    int warning[2];
    char text[512] = "";
    (void)state;
    assert_int_equal(pipe2(warning, O_CLOEXEC), 0);
    assert_true(survived(status_of(enter_without_filters, call_open, &warning[1])));
    (void)close(warning[1]);
    assert_true(read(warning[0], text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "warning: system calls are not limited"));
    (void)close(warning[0]);
}

/* ---- main ---- */

static const char thing_schema[] =
    "CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, number INTEGER, data BLOB)";
static const char *const schemas[] = {thing_schema};

static int setup(void **state)
{
    uint8_t first = 0;
    *state = place_new(schemas, 1);
    return random_bytes(&first, 1) == RESULT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    place_free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(others_end_it),
        TEST(the_store_goes_on),
        TEST(a_store_has_to_settle),
        TEST(random_numbers_go_on),
        TEST(the_library_goes_on),
        TEST(both_ends_are_possible),
        TEST(another_filter_before_ours),
        TEST(a_kernel_without_filters_warns),
    };
    return cmocka_run_group_tests_name("service_confinement", tests, NULL, NULL);
}
