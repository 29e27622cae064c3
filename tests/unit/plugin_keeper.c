/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/compat.h"
#include "plugin/broker/keeper.h"
#include "plugin/broker/state_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * The keeper with an agent, and a disk that fails where the test says so: the linker puts the test between
 * its code and the system (--wrap).
 */
#define NOW 5000000u
#define LONG_S 60u /* no answer of a thread takes longer */

static struct {
    struct keeper *keeper;
    struct agent *agent;
    char folder[64];
    char path[96];
    char log[1200];
    unsigned alarms;
    unsigned lines;
    atomic_int create_error; /* errno of the next calls; 0: they go to the system */
    atomic_int write_error;
    atomic_int sync_error;
    atomic_uint syncs;
    atomic_uint renames;
} test;

/* ---- the system's calls ---- */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_fdatasync(int handle);
int __wrap_fdatasync(int handle);
ssize_t __real_writev(int handle, const struct iovec *pieces, int count);
ssize_t __wrap_writev(int handle, const struct iovec *pieces, int count);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_open(const char *path, int flags, ...)
{
    if ((flags & O_CREAT) != 0 && test.create_error != 0) {
        errno = test.create_error;
        return -1;
    }
    return __real_open(path, flags, 0600);
}

int __wrap_fdatasync(int handle)
{
    int result = test.sync_error == 0 ? __real_fdatasync(handle) : -1;
    errno = test.sync_error;
    test.syncs++;
    return result;
}

ssize_t __wrap_writev(int handle, const struct iovec *pieces, int count)
{
    errno = test.write_error;
    return test.write_error == 0 ? __real_writev(handle, pieces, count) : -1;
}

int __wrap_rename(const char *from, const char *to)
{
    int result = __real_rename(from, to);
    test.renames++;
    return result;
}

void compat_log(enum agent_severity severity, const char *text)
{
    snprintf(test.log, sizeof(test.log), "%s", text);
    test.alarms += severity == AGENT_ALARM;
    test.lines++;
}

/* ---- the agent ---- */

static uint64_t some_ms(void *context)
{
    (void)context;
    return NOW;
}

static bool port_publish(void *context, const struct agent_publication *publication)
{
    (void)context;
    (void)publication;
    return true;
}

static bool port_request(void *context, uint64_t tag, const Groupseal__Secenv__ToSecenv *request,
                         enum agent_rank rank)
{
    (void)context;
    (void)tag;
    (void)request;
    (void)rank;
    return false;
}

static void port_log(void *context, enum agent_severity severity, const char *text)
{
    (void)context;
    compat_log(severity, text);
}

static bool port_keep(void *context, const char *line, size_t length)
{
    (void)context;
    return keeper_keep(test.keeper, line, length);
}

/* False: `test.log` has why. */
static bool start(void)
{
    const struct agent_settings settings = {
        .cse_id = "//sp.example/mn-1", .in_cse = "//sp.example/in-cse", .identity = "//sp.example/%u"};
    const struct agent_ports ports = {NULL,         some_ms,  some_ms,  port_publish,
                                      port_request, port_log, port_keep};
    char why[512] = "";
    test.alarms = test.lines = 0;
    test.log[0] = '\0';
    test.agent = agent_new(&settings, &ports, why, sizeof(why));
    assert_non_null(test.agent);
    test.keeper = keeper_new(test.path, test.agent, why, sizeof(why));
    bool started = test.keeper != NULL && keeper_start(test.keeper, NOW, why, sizeof(why));
    if (!started) {
        snprintf(test.log, sizeof(test.log), "%s", why);
    }
    return started;
}

static void end(void)
{
    keeper_close(test.keeper);
    agent_free(test.agent);
    test.keeper = NULL;
    test.agent = NULL;
}

static bool door_keep(unsigned number)
{
    char line[200];
    int length =
        snprintf(line, sizeof(line),
                 "+{\"m2m:ae\":{\"ri\":\"Sdoor%u\",\"rn\":\"door%u\",\"cr\":\"//sp.example/Sdoor%u\","
                 "\"ty\":2,\"api\":\"Ndoor\"}}",
                 number, number, number);
    return agent_restore(test.agent, line, (size_t)length) && keeper_keep(test.keeper, line, (size_t)length);
}

/* Turns until the thread has counted up to there. */
static void await(const atomic_uint *count, unsigned wanted, uint64_t now_ms)
{
    for (unsigned i = 0; *count < wanted && i < LONG_S * 1000; i++) {
        keeper_turn(test.keeper, now_ms);
        usleep(1000);
    }
    assert_int_equal(*count, wanted);
}

/* What the thread has done is taken up. */
static void await_log(const char *text, uint64_t now_ms)
{
    for (unsigned i = 0; strstr(test.log, text) == NULL && i < LONG_S * 1000; i++) {
        keeper_turn(test.keeper, now_ms);
        usleep(1000);
    }
    assert_non_null(strstr(test.log, text));
}

static int place_make(void **state)
{
    (void)state;
    memset(&test, 0, sizeof(test));
    snprintf(test.folder, sizeof(test.folder), "/tmp/keeper.XXXXXX");
    assert_non_null(mkdtemp(test.folder));
    snprintf(test.path, sizeof(test.path), "%s/state", test.folder);
    return 0;
}

static int place_remove(void **state)
{
    const char *const suffixes[] = {"", ".new", ".old"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char path[112];
        snprintf(path, sizeof(path), "%s%s", test.path, suffixes[i]);
        (void)unlink(path);
    }
    return rmdir(test.folder);
}

/* ---- tests ---- */

static void test_synced_within_a_second(void **state)
{
    (void)state;
    assert_true(start());
    unsigned before = test.syncs;
    keeper_turn(test.keeper, NOW);
    assert_true(door_keep(1));
    keeper_turn(test.keeper, NOW + KEEPER_SYNC_MS - 1);
    usleep(20000);
    assert_int_equal(test.syncs, before);
    await(&test.syncs, before + 1, NOW + KEEPER_SYNC_MS);
    /* Nothing has changed since. */
    keeper_turn(test.keeper, NOW + 10 * KEEPER_SYNC_MS);
    usleep(20000);
    keeper_turn(test.keeper, NOW + 20 * KEEPER_SYNC_MS);
    usleep(20000);
    assert_int_equal(test.syncs, before + 1);
    assert_int_equal(test.lines, 0);
    end();
    assert_true(start());
    assert_non_null(strstr(test.log, "1 lines of registrations and groups"));
    assert_int_equal(test.alarms, 0);
    end();
}

/* It is said once, and the file written anew after a while: what a failed sync has lost is not to be had
 * again. */
static void test_disk_that_fails(void **state)
{
    (void)state;
    assert_true(start());
    unsigned renames = test.renames;
    assert_true(door_keep(1));
    test.sync_error = EIO;
    keeper_turn(test.keeper, NOW);
    await_log("does not reach the disk: Input/output error", NOW + KEEPER_SYNC_MS);
    assert_int_equal(test.alarms, 1);
    assert_true(door_keep(2));
    test.sync_error = 0;
    keeper_turn(test.keeper, NOW + KEEPER_AGAIN_MS);
    assert_int_equal(test.renames, renames);
    await(&test.renames, renames + 1, NOW + KEEPER_SYNC_MS + KEEPER_AGAIN_MS);
    assert_int_equal(test.alarms, 1);
    end();
    assert_true(start());
    assert_non_null(strstr(test.log, "2 lines"));
    end();
}

/* What found no room is written when there is some, and not lost with the next restart. */
static void test_disk_full_for_a_while(void **state)
{
    (void)state;
    assert_true(start());
    unsigned renames = test.renames;
    keeper_turn(test.keeper, NOW);
    assert_true(door_keep(1));
    test.write_error = ENOSPC;
    assert_false(door_keep(2));
    keeper_turn(test.keeper, NOW);
    keeper_turn(test.keeper, NOW + KEEPER_AGAIN_MS); /* in vain */
    test.write_error = 0;
    assert_true(door_keep(3));
    await(&test.renames, renames + 1, NOW + 2 * KEEPER_AGAIN_MS);
    keeper_turn(test.keeper, NOW + 2 * KEEPER_AGAIN_MS);
    usleep(20000);
    keeper_turn(test.keeper, NOW + 4 * KEEPER_AGAIN_MS); /* once is enough */
    usleep(20000);
    assert_int_equal(test.renames, renames + 1);
    end();
    assert_true(start());
    assert_non_null(strstr(test.log, "3 lines"));
    end();
}

static void test_disk_full_at_the_start(void **state)
{
    (void)state;
    assert_true(start());
    assert_true(door_keep(1));
    end();
    test.create_error = ENOSPC;
    assert_true(start());
    assert_int_equal(test.alarms, 1);
    assert_non_null(strstr(test.log, "No space left on device"));
    assert_false(door_keep(2));
    keeper_turn(test.keeper, NOW + KEEPER_AGAIN_MS);
    assert_int_equal(test.alarms, 1);
    test.create_error = 0;
    unsigned renames = test.renames;
    await(&test.renames, renames + 1, NOW + 2 * KEEPER_AGAIN_MS);
    assert_true(door_keep(3));
    end();
    assert_true(start());
    assert_non_null(strstr(test.log, "3 lines"));
    end();
}

static void test_place_that_cannot_be_one(void **state)
{
    (void)state;
    test.create_error = EACCES;
    assert_false(start());
    assert_non_null(strstr(test.log, "its folder must be the broker's"));
    end();
    test.create_error = 0;
    snprintf(test.path + strlen(test.path), sizeof(test.path) - strlen(test.path), "/none");
    assert_false(start());
    end();
    assert_int_equal(test.lines, 0); /* that it does not start is the caller's to say, and all that is said */
    *strrchr(test.path, '/') = '\0';
}

/* Written anew by the thread; what comes meanwhile is in the new one too. */
static void test_grown(void **state)
{
    (void)state;
    assert_true(start());
    unsigned renames = test.renames;
    unsigned number = 1;
    for (size_t written = 0; written <= STATE_FILE_GROWTH_LIMIT; written += 100) {
        assert_true(door_keep(number % 64));
        number++;
    }
    keeper_turn(test.keeper, NOW); /* asks for it */
    assert_true(door_keep(64));
    await(&test.renames, renames + 1, NOW);
    assert_true(door_keep(65));
    keeper_turn(test.keeper, NOW);
    assert_true(door_keep(66));
    end();
    assert_true(start());
    assert_non_null(strstr(test.log, "67 lines"));
    end();
    assert_int_equal(test.alarms, 0);
}

static void test_tells_what_it_found(void **state)
{
    (void)state;
    assert_true(start());
    assert_true(door_keep(1));
    end();
    assert_int_equal(truncate(test.path, 100), 0);
    assert_true(start());
    assert_non_null(strstr(test.log, "cut short"));
    assert_int_equal(test.alarms, 0);
    assert_true(door_keep(2));
    end();
    assert_true(start()); /* it has the door from now on, and so has the file before */
    end();
    assert_true(start());
    end();
    assert_int_equal(truncate(test.path, 0), 0);
    assert_true(start());
    assert_non_null(strstr(test.log, "is damaged"));
    assert_non_null(strstr(test.log, "the file before it, .old, says was taken first"));
    assert_int_equal(test.alarms, 1);
    end();
    assert_true(start());
    assert_non_null(strstr(test.log, "1 lines"));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_synced_within_a_second, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_disk_that_fails, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_disk_full_for_a_while, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_disk_full_at_the_start, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_place_that_cannot_be_one, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_grown, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_tells_what_it_found, place_make, place_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
