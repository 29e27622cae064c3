/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "secenv/authority/evictions.h"
#include "secenv/authority/member.h"
#include "secenv/log.h"
#include "tests/crash/sealed.h"
#include "tests/unit/operator.h"

/*
 * The power goes off while a line of the evictions file is written, and the store comes back from a backup:
 * whose line names its row is out, whose does not was never said to be, and the next line is whole whatever
 * the disk has kept of the one before.
 */
#define DOOR_1 "//sp.example/Sdoor1"
#define DOOR_2 "//sp.example/Sdoor2"
#define OK GROUPSEAL__SECENV__CODE__OK
#define NAMED ((size_t)2 * EVICTION_TOKEN_SIZE + 1) /* the row's token and the space behind it */

struct evicted {
    struct site *site;
    char backup[300]; /* the store's directory, when both doors were in */
    char file[320];
    char line[400]; /* the second door's */
    size_t length;
};

static void store_put_back(struct evicted *evicted, const void *line, size_t length)
{
    struct site_node *authority = site_authority(evicted->site);
    char command[1400];
    site_close(authority);
    (void)snprintf(command, sizeof(command), "rm -rf '%s' && cp -a '%s' '%s'", site_directory(authority),
                   evicted->backup, site_directory(authority));
    assert_int_equal(system(command), 0);
    int file = open(evicted->file, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(file >= 0 && write(file, line, length) == (ssize_t)length && close(file) == 0);
    site_reopen(authority);
    site_advance(evicted->site, 3000);
}

static bool is_member(const struct evicted *evicted, const char *name)
{
    Groupseal__Secenv__Reply *reply = operator_list(evicted->site, NULL);
    bool found = false;
    for (size_t i = 0; i < reply->members->n_members; i++) {
        const Groupseal__Secenv__MemberRow *member = reply->members->members[i];
        found = found || (strcmp(member->name, name) == 0 && strcmp(member->state, "evicted") != 0);
    }
    site_reply_free(reply);
    return found;
}

static int setup(void **state)
{
    struct evicted *evicted = calloc(1, sizeof(*evicted));
    assert_non_null(evicted);
    evicted->site = site_new();
    struct site_node *authority = site_authority(evicted->site);
    site_join(evicted->site, SITE_MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL);
    site_group(evicted->site, "doors", "door", SITE_MN_CSE);
    site_join(evicted->site, DOOR_1, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    site_join(evicted->site, DOOR_2, IDENTITY_ADN_AE, CREDENTIALS_PSK, SITE_MN_CSE, "door");
    (void)snprintf(evicted->backup, sizeof(evicted->backup), "%s/backup", site_scratch(evicted->site));
    (void)snprintf(evicted->file, sizeof(evicted->file), "%s/evictions", site_directory(authority));
    site_close(authority);
    char command[1000];
    (void)snprintf(command, sizeof(command), "cp -a '%s' '%s'", site_directory(authority), evicted->backup);
    assert_int_equal(system(command), 0);
    site_reopen(authority);
    assert_int_equal(operator_evict(evicted->site, DOOR_2), OK);
    FILE *file = fopen(evicted->file, "r");
    assert_non_null(file);
    evicted->length = fread(evicted->line, 1, sizeof(evicted->line), file);
    assert_int_equal(fclose(file), 0);
    assert_true(evicted->length > NAMED && evicted->line[evicted->length - 1] == '\n');
    *state = evicted;
    return 0;
}

static int teardown(void **state)
{
    struct evicted *evicted = *state;
    assert_true(sealed_count() >
                0); /* each with a key and nonce of its own, in lives that a backup began too */
    site_free(evicted->site);
    free(evicted);
    return 0;
}

/* The store with what was left of the line; then with what the next eviction has made of it. */
static void left(struct evicted *evicted, const char *line, size_t length, bool named)
{
    store_put_back(evicted, line, length);
    assert_true(is_member(evicted, DOOR_1));
    assert_int_equal(is_member(evicted, DOOR_2), !named);
    assert_int_equal(operator_evict(evicted->site, DOOR_1), OK);
    char next[1000];
    FILE *file = fopen(evicted->file, "r");
    assert_non_null(file);
    size_t whole = fread(next, 1, sizeof(next), file);
    assert_int_equal(fclose(file), 0);
    assert_true(whole > length && memcmp(next, line, length) == 0); /* nothing is rewritten */
    store_put_back(evicted, next, whole);
    assert_false(is_member(evicted, DOOR_1));
    assert_int_equal(is_member(evicted, DOOR_2), !named);
}

static void line_is_cut(void **state)
{
    struct evicted *evicted = *state;
    for (size_t length = 0; length <= evicted->length; length++) {
        left(evicted, evicted->line, length, length >= NAMED);
    }
}

/* A disk that has kept the file's size, and not what was in it. */
static void line_is_zeroed(void **state)
{
    struct evicted *evicted = *state;
    static const size_t kept[] = {0, 7, NAMED - 1, NAMED, NAMED + 3};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        char line[sizeof(evicted->line)] = {0};
        memcpy(line, evicted->line, kept[i]);
        left(evicted, line, evicted->length, kept[i] >= NAMED);
    }
}

static enum result token_count(void *context, const uint8_t token[EVICTION_TOKEN_SIZE], struct reason *why)
{
    (void)token;
    (void)why;
    ++*(size_t *)context;
    return RESULT_OK;
}

static size_t tokens(int file)
{
    struct reason why = {""};
    size_t count = 0;
    assert_int_equal(evictions_read(file, token_count, &count, &why), RESULT_OK);
    return count;
}

/* A disk that is full in the midst of several lines: none of a request that fails is out at the next start.
 */
static void full_disk_leaves_nothing(void **state)
{
    struct evicted *evicted = *state;
    struct member members[3] = {
        {.name = "//sp.example/Sa"}, {.name = "//sp.example/Sb"}, {.name = "//sp.example/Sc"}};
    struct reason why = {""};
    struct rlimit before;
    int file = open(evicted->file, O_RDWR | O_APPEND | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_ptr_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    for (rlim_t room = 120; room > 0; room -= 20) {
        struct rlimit full = {evicted->length + room, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
        enum result result = evictions_append(file, members, 3, 1, &why);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(result, RESULT_STORE);
        assert_int_equal(tokens(file), 1);
    }
    assert_int_equal(evictions_append(file, members, 3, 1, &why), RESULT_OK);
    assert_int_equal(tokens(file), 4);
    assert_int_equal(close(file), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(line_is_zeroed, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_leaves_nothing, setup, teardown),
    };
    log_threshold(LOG_LEVEL_ALARM);
    return cmocka_run_group_tests_name("crash/evictions", tests, NULL, NULL);
}
