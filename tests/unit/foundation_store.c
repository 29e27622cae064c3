/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secenv/counter.h"
#include "secenv/store.h"

static const char test_schema[] = "CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY, number INTEGER,"
                                  " open BLOB, sealed BLOB)";
static const char *const schemas[] = {test_schema, counter_schema};

/* A directory of each test's own; the store is in `store` below it. */
struct place {
    char root[64];
    char store[96];
    char key[128];
    char database[128];
};

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    snprintf(place->root, sizeof(place->root), "/tmp/groupseal-store-XXXXXX");
    if (mkdtemp(place->root) == NULL) {
        return -1;
    }
    snprintf(place->store, sizeof(place->store), "%s/store", place->root);
    snprintf(place->key, sizeof(place->key), "%s/root.key", place->store);
    snprintf(place->database, sizeof(place->database), "%s/store.db", place->store);
    *state = place;
    struct reason why = {""};
    return store_create(place->store, STORE_MEMBER, NULL, &why) == RESULT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct place *place = *state;
    (void)nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(place);
    return 0;
}

static enum result try_open(const struct place *place, enum store_profile profile, struct store **store,
                            struct reason *why)
{
    why->text[0] = '\0';
    return store_open(place->store, profile, root_key_file(place->key), schemas, 2, store, why);
}

static struct store *open_store(const struct place *place)
{
    struct store *store = NULL;
    struct reason why;
    enum result result = try_open(place, STORE_MEMBER, &store, &why);
    if (result != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    return store;
}

static void assert_refused(const struct place *place, enum result expected, const char *text)
{
    struct store *store = NULL;
    struct reason why;
    assert_int_equal(try_open(place, STORE_MEMBER, &store, &why), expected);
    assert_null(store);
    if (strstr(why.text, text) == NULL) {
        fail_msg("reason is: %s", why.text);
    }
}

struct seen {
    int rows;
    uint64_t number;
    struct secret secret;
    char open[16];
};

static enum result see(void *context, const struct store_row *row, struct reason *why)
{
    struct seen *seen = context;
    seen->rows++;
    seen->number = row_u64(row, 1);
    struct bytes open = row_bytes(row, 2);
    snprintf(seen->open, sizeof(seen->open), "%.*s", (int)open.length, (const char *)open.data);
    return row_secret(row, 3, "thing/sealed/door", &seen->secret, why);
}

static enum result insert(struct store *store, const char *name, const struct secret *secret,
                          struct reason *why)
{
    return store_run(store, why, "INSERT INTO thing VALUES (?, ?, ?, ?)", "tubs", name, UINT64_MAX - 1,
                     bytes_of_text("plain"), "thing/sealed/door", secret_bytes(secret));
}

static enum result look(struct store *store, const char *name, struct seen *seen, struct reason *why)
{
    memset(seen, 0, sizeof(*seen));
    return store_query(store, why, see, seen, "SELECT name, number, open, sealed FROM thing WHERE name = ?",
                       "t", name);
}

static void values_come_back_after_reopening(void **state)
{
    struct reason why;
    struct seen seen;
    struct secret secret;
    memset(secret.data, 0x5a, SECRET_SIZE);
    struct store *store = open_store(*state);
    assert_int_equal(insert(store, "door", &secret, &why), RESULT_OK);
    assert_int_equal(insert(store, "door", &secret, &why), RESULT_EXISTS);
    store_close(store);
    store = open_store(*state);
    assert_int_equal(look(store, "door", &seen, &why), RESULT_OK);
    assert_int_equal(seen.rows, 1);
    assert_true(seen.number == UINT64_MAX - 1);
    assert_string_equal(seen.open, "plain");
    assert_memory_equal(seen.secret.data, secret.data, SECRET_SIZE);
    store_close(store);
    store_close(NULL);
}

static bool file_holds(const char *path, const void *needle, size_t length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    static char content[1 << 20];
    size_t size = fread(content, 1, sizeof(content), file);
    fclose(file);
    return memmem(content, size, needle, length) != NULL;
}

static void secrets_are_sealed_on_disk(void **state)
{
    struct place *place = *state;
    struct reason why;
    struct secret secret;
    memset(secret.data, 0x5a, SECRET_SIZE);
    struct store *store = open_store(place);
    assert_int_equal(insert(store, "door", &secret, &why), RESULT_OK);
    store_close(store);
    assert_true(file_holds(place->database, "plain", 5));
    assert_false(file_holds(place->database, secret.data, 8));
}

static void sealed_values_cannot_be_moved_or_changed(void **state)
{
    struct reason why;
    struct store *store = open_store(*state);
    struct buffer sealed = BUFFER_EMPTY(256);
    struct buffer again = BUFFER_EMPTY(256);
    struct buffer opened = BUFFER_EMPTY(256);
    assert_int_equal(store_seal(store, "member/psk/a", bytes_of_text("secret"), &sealed), RESULT_OK);
    assert_int_equal(store_seal(store, "member/psk/a", bytes_of_text("secret"), &again), RESULT_OK);
    assert_false(bytes_equal(buffer_bytes(&sealed), buffer_bytes(&again)));
    assert_int_equal(store_unseal(store, "member/psk/a", buffer_bytes(&sealed), &opened, &why), RESULT_OK);
    assert_true(bytes_equal(buffer_bytes(&opened), bytes_of_text("secret")));
    buffer_clear(&opened);
    assert_int_equal(store_unseal(store, "member/psk/b", buffer_bytes(&sealed), &opened, &why), RESULT_STORE);
    for (size_t i = 0; i < sealed.length; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(store_unseal(store, "member/psk/a", buffer_bytes(&sealed), &opened, &why),
                         RESULT_STORE);
        sealed.data[i] ^= 1;
    }
    struct bytes shorter = buffer_bytes(&sealed);
    shorter.length = 20;
    assert_int_equal(store_unseal(store, "member/psk/a", shorter, &opened, &why), RESULT_STORE);
    assert_int_equal(opened.length, 0);
    buffer_clear(&sealed);
    buffer_clear(&again);
    store_close(store);
}

static void a_request_is_undone_alone(void **state)
{
    struct reason why;
    struct seen seen;
    struct secret secret;
    memset(secret.data, 1, SECRET_SIZE);
    struct store *store = open_store(*state);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_false(store_dirty(store));
    assert_int_equal(store_savepoint(store, &why), RESULT_OK);
    assert_int_equal(insert(store, "kept", &secret, &why), RESULT_OK);
    assert_true(store_dirty(store));
    assert_int_equal(store_release(store, &why), RESULT_OK);
    assert_int_equal(store_savepoint(store, &why), RESULT_OK);
    assert_int_equal(insert(store, "undone", &secret, &why), RESULT_OK);
    store_rollback_to_savepoint(store);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(insert(store, "batch", &secret, &why), RESULT_OK);
    store_rollback(store);
    store_close(store);
    store = open_store(*state);
    assert_int_equal(look(store, "kept", &seen, &why), RESULT_OK);
    assert_int_equal(seen.rows, 1);
    assert_int_equal(look(store, "undone", &seen, &why), RESULT_OK);
    assert_int_equal(seen.rows, 0);
    assert_int_equal(look(store, "batch", &seen, &why), RESULT_OK);
    assert_int_equal(seen.rows, 0);
    store_close(store);
}

struct nested {
    struct store *store;
    int depth;
};

static enum result nest(void *context, const struct store_row *row, struct reason *why)
{
    (void)row;
    struct nested *nested = context;
    if (++nested->depth == 3) {
        return RESULT_OK;
    }
    return store_query(nested->store, why, nest, nested, "SELECT 1", "");
}

static enum result stop(void *context, const struct store_row *row, struct reason *why)
{
    (void)row;
    ++*(int *)context;
    return result_fail(why, RESULT_UNKNOWN, "enough");
}

static void queries_nest_and_stop(void **state)
{
    struct reason why;
    struct store *store = open_store(*state);
    struct nested nested = {store, 0};
    assert_int_equal(nest(&nested, NULL, &why), RESULT_OK);
    assert_int_equal(nested.depth, 3);
    int rows = 0;
    assert_int_equal(store_query(store, &why, stop, &rows, "SELECT name FROM meta", ""), RESULT_UNKNOWN);
    assert_int_equal(rows, 1);
    assert_int_equal(store_run(store, &why, "INSERT INTO nowhere VALUES (1)", ""), RESULT_STORE);
    assert_int_equal(store_run(store, &why, "SELECT ?", "x"), RESULT_INTERNAL);
    store_close(store);
}

static void a_second_process_is_refused(void **state)
{
    const struct place *place = *state;
    struct store *store = open_store(place);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store *second = NULL;
        struct reason why;
        bool refused = try_open(place, STORE_MEMBER, &second, &why) == RESULT_STORE &&
                       strstr(why.text, "in use by another process") != NULL;
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(store);
    store_close(open_store(place)); /* the twin: free again */
}

static void profile_and_existence_are_checked(void **state)
{
    const struct place *place = *state;
    struct store *store = NULL;
    struct reason why;
    assert_int_equal(try_open(place, STORE_AUTHORITY, &store, &why), RESULT_INVALID);
    assert_int_equal(store_create(place->store, STORE_MEMBER, NULL, &why), RESULT_EXISTS);
    assert_int_equal(
        store_open(place->root, STORE_MEMBER, root_key_file(place->key), schemas, 2, &store, &why),
        RESULT_UNKNOWN);
    assert_int_equal(
        store_open("/nowhere/at/all", STORE_MEMBER, root_key_file(place->key), schemas, 2, &store, &why),
        RESULT_UNKNOWN);
    store_close(open_store(place));
}

static void open_files_are_refused(void **state)
{
    const struct place *place = *state;
    const char *paths[] = {place->store, place->key, place->database};
    for (size_t i = 0; i < 3; i++) {
        mode_t closed = i == 0 ? 0700 : 0600;
        assert_int_equal(chmod(paths[i], closed | 040), 0);
        assert_refused(place, RESULT_REFUSED, "open to group or others");
        assert_int_equal(chmod(paths[i], closed), 0);
        store_close(open_store(place));
    }
}

static void another_users_files_are_refused(void **state)
{
    const struct place *place = *state;
    if (geteuid() != 0) {
        skip(); /* only root can give a file away */
    }
    const char *paths[] = {place->store, place->key, place->database};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(chown(paths[i], 65534, 65534), 0);
        assert_refused(place, RESULT_REFUSED, "belongs to user 65534");
        assert_int_equal(chown(paths[i], 0, 0), 0);
    }
    store_close(open_store(place));
}

static void write_file(const char *path, const void *data, size_t length)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, length), length);
    close(file);
}

static void the_root_key_must_fit(void **state)
{
    const struct place *place = *state;
    uint8_t key[SECRET_SIZE + 1] = {1};
    uint8_t good[SECRET_SIZE];
    FILE *file = fopen(place->key, "rb");
    assert_int_equal(fread(good, 1, SECRET_SIZE, file), SECRET_SIZE);
    fclose(file);

    write_file(place->key, key, SECRET_SIZE);
    assert_refused(place, RESULT_REFUSED, "another store's; nothing was changed");
    write_file(place->key, key, SECRET_SIZE - 1);
    assert_refused(place, RESULT_INVALID, "exactly 32 bytes");
    write_file(place->key, key, SECRET_SIZE + 1);
    assert_refused(place, RESULT_INVALID, "exactly 32 bytes");
    assert_int_equal(unlink(place->key), 0);
    assert_refused(place, RESULT_UNKNOWN, "root key");
    assert_int_equal(symlink("/etc/hostname", place->key), 0);
    assert_refused(place, RESULT_STORE, "root key");
    assert_int_equal(unlink(place->key), 0);
    write_file(place->key, good, SECRET_SIZE);
    store_close(open_store(place));
}

static void a_root_key_elsewhere_is_used(void **state)
{
    const struct place *place = *state;
    char directory[128];
    char key[128];
    struct reason why;
    struct store *store = NULL;
    snprintf(directory, sizeof(directory), "%s/second", place->root);
    snprintf(key, sizeof(key), "%s/elsewhere.key", place->root);
    assert_int_equal(store_create(directory, STORE_AUTHORITY, key, &why), RESULT_OK);
    assert_int_equal(store_open(directory, STORE_AUTHORITY, root_key_file(key), NULL, 0, &store, &why),
                     RESULT_OK);
    store_close(store);
    char third[128];
    snprintf(third, sizeof(third), "%s/third", place->root);
    assert_int_equal(store_create(third, STORE_AUTHORITY, key, &why), RESULT_OK); /* the same key again */
    store = NULL;
    assert_int_equal(store_open(third, STORE_AUTHORITY, root_key_file(place->key), NULL, 0, &store, &why),
                     RESULT_REFUSED);
}

static void fill(const struct place *place)
{
    struct reason why;
    struct secret secret;
    memset(secret.data, 1, SECRET_SIZE);
    struct store *store = open_store(place);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(insert(store, name, &secret, &why), RESULT_OK);
    }
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    store_close(store);
}

static void damaged_databases_are_refused(void **state)
{
    const struct place *place = *state;
    fill(place);
    struct stat status;
    assert_int_equal(stat(place->database, &status), 0);
    assert_true(status.st_size > 16384);

    int file = open(place->database, O_RDWR);
    uint8_t page[8192];
    assert_int_equal(pread(file, page, sizeof(page), 8192), sizeof(page));
    uint8_t garbage[8192];
    memset(garbage, 0xa5, sizeof(garbage));
    assert_int_equal(pwrite(file, garbage, sizeof(garbage), 8192), sizeof(garbage));
    assert_refused(place, RESULT_STORE, "damaged");
    assert_int_equal(pwrite(file, page, sizeof(page), 8192), sizeof(page));
    store_close(open_store(place)); /* the twin: as it was */

    assert_int_equal(ftruncate(file, status.st_size / 2), 0);
    assert_refused(place, RESULT_STORE, "damaged");
    assert_int_equal(ftruncate(file, 0), 0);
    assert_refused(place, RESULT_STORE, "damaged");
    assert_int_equal(pwrite(file, "no database", 11, 0), 11);
    assert_refused(place, RESULT_STORE, "damaged");
    close(file);
}

static uint64_t fixed_time(void *context)
{
    return *(uint64_t *)context;
}

static void counters_never_repeat(void **state)
{
    struct reason why;
    uint64_t now = 1000000;
    struct clock_source clock = {fixed_time, fixed_time, &now};
    uint64_t last = 0;
    uint8_t boot[BOOT_SIZE] = {0};
    for (int round = 0; round < 4; round++) {
        struct store *store = open_store(*state);
        struct counter counter;
        counter_init(&counter, "record/a");
        for (unsigned i = 0; i < COUNTER_STEP + 10; i++) {
            uint64_t value = 0;
            assert_int_equal(counter_next(&counter, store, &clock, &value, &why), RESULT_OK);
            assert_true(value > last);
            last = value;
        }
        assert_memory_not_equal(counter.boot, boot, BOOT_SIZE);
        memcpy(boot, counter.boot, BOOT_SIZE);
        store_close(store);
        now = now > 1000 ? now - 1000 : 0; /* a clock that steps back changes nothing */
    }
    now = 1000000000000;
    struct store *store = open_store(*state);
    struct counter counter;
    counter_init(&counter, "record/a");
    uint64_t value = 0;
    assert_int_equal(counter_next(&counter, store, &clock, &value, &why), RESULT_OK);
    assert_true(value == now);
    store_close(store);
}

static void an_undone_reservation_is_made_again(void **state)
{
    struct reason why;
    uint64_t now = 5000000;
    struct clock_source clock = {fixed_time, fixed_time, &now};
    struct store *store = open_store(*state);
    struct counter counter;
    counter_init(&counter, "record/a");
    uint64_t value = 0;
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(store_savepoint(store, &why), RESULT_OK);
    assert_int_equal(counter_next(&counter, store, &clock, &value, &why), RESULT_OK);
    store_rollback_to_savepoint(store);
    assert_int_equal(counter_next(&counter, store, &clock, &value, &why), RESULT_OK);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    store_close(store);

    now = 0; /* only what is on disk can keep the next one above */
    store = open_store(*state);
    counter_init(&counter, "record/a");
    uint64_t next = 0;
    assert_int_equal(counter_next(&counter, store, &clock, &next, &why), RESULT_OK);
    assert_true(next > value);
    store_close(store);
}

/* What is sealed with a number of it waits for the commit; with the next ones, of the same reservation, not.
 */
static void a_reservation_holds_its_transaction(void **state)
{
    struct reason why;
    uint64_t now = 5000000;
    struct clock_source clock = {fixed_time, fixed_time, &now};
    struct store *store = open_store(*state);
    struct counter counter;
    counter_init(&counter, "record/a");
    uint64_t value = 0;
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(counter_next(&counter, store, &clock, &value, &why), RESULT_OK);
    assert_true(store_held(store));
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(counter_next(&counter, store, &clock, &value, &why), RESULT_OK);
    assert_false(store_held(store));
    assert_int_equal(store_savepoint(store, &why), RESULT_OK);
    store_rollback_to_savepoint(store); /* it may have been in there */
    assert_int_equal(counter_next(&counter, store, &clock, &value, &why), RESULT_OK);
    assert_true(store_held(store));
    assert_int_equal(store_commit(store, &why), RESULT_OK);
    store_close(store);
}

/* ---- the write-ahead log ---- */

static off_t database_size(const struct place *place)
{
    struct stat status;
    assert_int_equal(stat(place->database, &status), 0);
    return status.st_size;
}

/* One transaction that writes so many pages or a little more. */
static void pages_write(struct store *store, int64_t number, size_t pages)
{
    static uint8_t blob[4096 * 1100];
    struct reason why;
    char name[32];
    (void)snprintf(name, sizeof(name), "page-%lld", (long long)number);
    assert_true(pages * 4096 <= sizeof(blob));
    memset(blob, (int)number, sizeof(blob));
    assert_int_equal(store_begin(store, &why), RESULT_OK);
    assert_int_equal(store_run(store, &why, "INSERT INTO thing (name, number, open) VALUES (?, ?, ?)", "tib",
                               name, number, ((struct bytes){blob, pages * 4096})),
                     RESULT_OK);
    assert_int_equal(store_commit(store, &why), RESULT_OK);
}

static void names_expect(struct store *store, uint64_t count)
{
    struct reason why;
    uint64_t found = 0;
    assert_int_equal(
        store_number(store, &why, &found, "SELECT count(*) FROM thing WHERE length(open) >= 4096", ""),
        RESULT_OK);
    assert_int_equal(found, count);
}

static void the_log_waits_for_a_pause(void **state)
{
    struct store *store = open_store(*state);
    pages_write(store, 0, 900);
    off_t small = database_size(*state);
    assert_false(store_checkpoint_due(store));
    pages_write(store, 1, 200);
    assert_true(store_checkpoint_due(store));
    pages_write(store, 2, 1100);
    assert_int_equal(database_size(*state), small); /* no commit has waited for it */
    store_checkpoint(store);
    assert_false(store_checkpoint_due(store));
    off_t large = database_size(*state);
    assert_true(large > small + 2000 * 4096);
    names_expect(store, 3);
    pages_write(store, 3, 100); /* the log begins anew */
    assert_false(store_checkpoint_due(store));
    store_close(store);
    store = open_store(*state);
    names_expect(store, 4);
    store_close(store);
}

static void without_a_pause_the_log_is_bounded(void **state)
{
    struct store *store = open_store(*state);
    off_t size = database_size(*state);
    for (int64_t i = 0; i < 3; i++) {
        pages_write(store, i, 1100);
    }
    assert_int_equal(database_size(*state), size);
    pages_write(store, 3, 1100);
    assert_false(store_checkpoint_due(store));
    assert_true(database_size(*state) > size + 4400 * 4096);
    names_expect(store, 4);
    store_close(store);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(values_come_back_after_reopening),
        STORE_TEST(secrets_are_sealed_on_disk),
        STORE_TEST(sealed_values_cannot_be_moved_or_changed),
        STORE_TEST(a_request_is_undone_alone),
        STORE_TEST(queries_nest_and_stop),
        STORE_TEST(a_second_process_is_refused),
        STORE_TEST(profile_and_existence_are_checked),
        STORE_TEST(open_files_are_refused),
        STORE_TEST(another_users_files_are_refused),
        STORE_TEST(the_root_key_must_fit),
        STORE_TEST(a_root_key_elsewhere_is_used),
        STORE_TEST(damaged_databases_are_refused),
        STORE_TEST(counters_never_repeat),
        STORE_TEST(an_undone_reservation_is_made_again),
        STORE_TEST(a_reservation_holds_its_transaction),
        STORE_TEST(the_log_waits_for_a_pause),
        STORE_TEST(without_a_pause_the_log_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
