/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/broker/state_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <signal.h>

struct place {
    char folder[64];
    char path[96];
};

static int place_make(void **state)
{
    static struct place place;
    snprintf(place.folder, sizeof(place.folder), "/tmp/state_file.XXXXXX");
    assert_non_null(mkdtemp(place.folder));
    snprintf(place.path, sizeof(place.path), "%s/state", place.folder);
    *state = &place;
    return 0;
}

static int place_remove(void **state)
{
    const struct place *place = *state;
    const char *const suffixes[] = {"", ".new", ".old"};
    for (size_t i = 0; i < 3; i++) {
        char path[112];
        snprintf(path, sizeof(path), "%s%s", place->path, suffixes[i]);
        (void)unlink(path);
    }
    return rmdir(place->folder);
}

struct heard {
    char lines[6][32];
    size_t count;
    struct state_file_found found;
};

static void hear(void *context, const char *line, size_t length)
{
    struct heard *heard = context;
    assert_true(heard->count < 6 && length < sizeof(heard->lines[0]));
    memcpy(heard->lines[heard->count], line, length);
    heard->lines[heard->count++][length] = '\0';
}

static struct state_file *opened(const struct place *place, struct heard *heard)
{
    char why[256] = "";
    memset(heard, 0, sizeof(*heard));
    struct state_file *file = state_file_open(place->path, hear, heard, &heard->found, why, sizeof(why));
    if (file == NULL) {
        fail_msg("%s", why);
    }
    return file;
}

static void renew(struct state_file *file, const char *first)
{
    char why[256] = "";
    assert_true(state_file_begin(file, why, sizeof(why)));
    assert_true(state_file_append(file, first, strlen(first)));
    state_file_begun(file);
    assert_int_equal(state_file_settle(file), 0);
    state_file_commit(file);
    assert_int_equal(state_file_sync(file), 0);
}

static void write_raw(const struct place *place, const char *text)
{
    FILE *file = fopen(place->path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

static void test_lines_stay(void **state)
{
    const struct place *place = *state;
    struct heard heard;
    struct stat status;
    struct state_file *file = opened(place, &heard);
    assert_int_equal(heard.count, 0);
    assert_false(state_file_append(file, "a", 1)); /* nowhere to go yet */
    renew(file, "one");
    assert_true(state_file_append(file, "two", 3));
    assert_false(state_file_append(file, "a\nb", 3));
    state_file_close(file);
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    file = opened(place, &heard);
    assert_int_equal(heard.count, 2);
    assert_string_equal(heard.lines[0], "one");
    assert_string_equal(heard.lines[1], "two");
    renew(file, "three");
    state_file_close(file);
    file = opened(place, &heard);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.lines[0], "three");
    state_file_close(file);
}

static void lines_are(const struct heard *heard, const char *const *lines, size_t count)
{
    assert_int_equal(heard->count, count);
    assert_int_equal(heard->found.lines, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(heard->lines[i], lines[i]);
    }
}

static int rename_before(const struct place *place)
{
    char before[112];
    snprintf(before, sizeof(before), "%s.old", place->path);
    return rename(before, place->path);
}

/* The file as it is, into `bytes`. */
static size_t read_raw(const struct place *place, char *bytes, size_t size)
{
    FILE *file = fopen(place->path, "r");
    assert_non_null(file);
    size_t length = fread(bytes, 1, size, file);
    assert_true(length < size);
    assert_int_equal(fclose(file), 0);
    return length;
}

static void write_bytes(const struct place *place, const char *bytes, size_t length)
{
    FILE *file = fopen(place->path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* A power cut: the last line is half there. One in the midst of writing anew: the old file stands. */
static void test_cut_short(void **state)
{
    const struct place *place = *state;
    struct heard heard;
    char why[256] = "";
    char bytes[512];
    struct state_file *file = opened(place, &heard);
    renew(file, "whole");
    assert_true(state_file_append(file, "half", 4));
    state_file_close(file);
    size_t length = read_raw(place, bytes, sizeof(bytes));
    write_bytes(place, bytes, length - 3);
    file = opened(place, &heard);
    lines_are(&heard, (const char *const[]){"whole"}, 1);
    assert_int_equal(heard.found.lost, 17 + 4 + 1 - 3);
    assert_false(heard.found.damaged);
    assert_true(state_file_begin(file, why, sizeof(why)));
    assert_true(state_file_append(file, "lost", 4));
    state_file_close(file);
    file = opened(place, &heard);
    lines_are(&heard, (const char *const[]){"whole"}, 1);
    renew(file, "new");
    assert_true(state_file_begin(file, why, sizeof(why)));
    assert_true(state_file_append(file, "lost", 4));
    state_file_abandon(file);
    assert_true(state_file_append(file, "more", 4));
    state_file_close(file);
    file = opened(place, &heard);
    lines_are(&heard, (const char *const[]){"new", "more"}, 2);
    assert_int_equal(heard.found.lost, 0);
    state_file_close(file);
}

/* Lines that come while the new file is on its way to the disk are in both. */
static void test_written_anew_meanwhile(void **state)
{
    const struct place *place = *state;
    struct heard heard;
    char why[256] = "";
    struct state_file *file = opened(place, &heard);
    renew(file, "one");
    for (unsigned settled = 0; settled < 2; settled++) {
        assert_true(state_file_begin(file, why, sizeof(why)));
        assert_true(state_file_append(file, "one", 3));
        state_file_begun(file);
        assert_true(state_file_append(file, "two", 3));
        if (settled == 1) {
            assert_int_equal(state_file_settle(file), 0);
        }
        struct state_file *other = opened(place, &heard);
        lines_are(&heard, (const char *const[]){"one", "two", "two"}, 2);
        state_file_close(other);
        if (settled == 0) {
            state_file_abandon(file);
            renew(file, "one");
        }
    }
    state_file_commit(file);
    state_file_close(file);
}

/* A bad disk, at each byte: what a new file began with is in the one before, of the others the line is lost.
 */
static void test_damaged(void **state)
{
    const struct place *place = *state;
    struct heard heard;
    char bytes[512];
    struct state_file *file = opened(place, &heard);
    renew(file, "one");
    renew(file, "one");
    size_t begun = read_raw(place, bytes, sizeof(bytes));
    assert_true(state_file_append(file, "two", 3));
    assert_true(state_file_append(file, "three", 5));
    state_file_close(file);
    size_t length = read_raw(place, bytes, sizeof(bytes));
    for (size_t at = 0; at < length; at++) {
        bytes[at] ^= 1;
        write_bytes(place, bytes, length);
        state_file_close(opened(place, &heard));
        bool last = at >= length - (1 + 17 + 5 + 1); /* or the end of the line before it, which joins them */
        assert_true(heard.found.lost > 0);
        assert_int_equal(heard.found.damaged, !last);
        assert_int_equal(heard.found.before, !last);
        assert_string_equal(heard.lines[0], "one");
        assert_true(last || strcmp(heard.lines[heard.count - 1], "three") == 0);
        assert_true(at >= begun - 1 || strcmp(heard.lines[heard.count - 2], "two") == 0);
        bytes[at] ^= 1;
    }
    write_bytes(place, bytes, 0);
    state_file_close(opened(place, &heard));
    lines_are(&heard, (const char *const[]){"one"}, 1);
    assert_true(heard.found.damaged && heard.found.before);
    write_raw(place, "somebody's\nfile\n");
    file = opened(place, &heard);
    assert_true(heard.found.damaged && heard.found.before);
    /* It is not lost, whatever it was. */
    renew(file, "new");
    assert_int_equal(rename_before(place), 0);
    assert_int_equal(read_raw(place, bytes, sizeof(bytes)), 16);
    state_file_close(file);
}

/* A full disk, played by the limit on a file's size: nothing of the line is left. */
static void test_disk_full(void **state)
{
    const struct place *place = *state;
    struct heard heard;
    struct state_file *file = opened(place, &heard);
    struct rlimit before;
    renew(file, "one");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {(17 + 36 + 1) + (17 + 3 + 1) + 6, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool taken = state_file_append(file, "two", 3);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(taken);
    assert_true(state_file_append(file, "three", 5));
    state_file_close(file);
    file = opened(place, &heard);
    lines_are(&heard, (const char *const[]){"one", "three"}, 2);
    assert_int_equal(heard.found.lost, 0);
    state_file_close(file);
}

static void refused(const char *path, const char *reason)
{
    struct heard heard = {.count = 0};
    char why[256] = "";
    assert_null(state_file_open(path, hear, &heard, &heard.found, why, sizeof(why)));
    assert_non_null(strstr(why, "plugin_opt_state_file"));
    if (strstr(why, reason) == NULL) {
        fail_msg("%s does not say %s", why, reason);
    }
    assert_int_equal(heard.count, 0);
}

static void test_refused(void **state)
{
    const struct place *place = *state;
    struct heard heard;
    char why[256] = "";
    char link[112];
    refused(place->folder, "large"); /* no file */
    write_raw(place, "whole\n");
    snprintf(link, sizeof(link), "%s.new", place->path);
    assert_int_equal(symlink(place->path, link), 0);
    refused(link, "symbolic");
    /* A link where the fresh file goes is replaced, not followed. */
    struct state_file *file = opened(place, &heard);
    assert_true(state_file_begin(file, why, sizeof(why)));
    state_file_abandon(file);
    state_file_close(file);
    file = opened(place, &heard);
    assert_true(heard.found.damaged);
    state_file_close(file);
    assert_int_equal(truncate(place->path, (off_t)STATE_FILE_LIMIT + 1), 0);
    refused(place->path, "large");
}

static void test_grown(void **state)
{
    const struct place *place = *state;
    struct heard heard;
    char line[32768];
    struct state_file *file = opened(place, &heard);
    memset(line, 'x', sizeof(line));
    renew(file, "one");
    for (size_t i = 0; i < 32; i++) {
        assert_false(state_file_grown(file));
        assert_true(state_file_append(file, line, sizeof(line)));
    }
    assert_true(state_file_grown(file));
    renew(file, "one");
    assert_false(state_file_grown(file));
    state_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_stay, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_cut_short, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_written_anew_meanwhile, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_damaged, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_disk_full, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_refused, place_make, place_remove),
        cmocka_unit_test_setup_teardown(test_grown, place_make, place_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
