/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/psk_file.h"

#include "agents_file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

static struct folder folder;

static int setup(void **state)
{
    (void)state;
    folder_make(&folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    folder_remove(&folder);
    return 0;
}

static bool reads(const char *text, uint8_t *out, size_t *length, char *why)
{
    return psk_file_read(folder_file(&folder, "psk", text, 0600), out, PSK_LIMIT, length, why, 256);
}

static void test_reads(void **state)
{
    static const char *const texts[] = {HEX32, HEX32 "\n", "  " HEX32 "\r\n"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t key[PSK_LIMIT];
        char why[256] = "";
        size_t length = 0;
        assert_true(reads(texts[i], key, &length, why));
        assert_int_equal(length, 32);
        for (size_t j = 0; j < 32; j++) {
            assert_int_equal(key[j], j);
        }
    }
}

static void test_refuses_without_quoting(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "00",                                /* too short */
        "0001020304050607 08090a0b0c0d0e0f", /* two words */
        "000102030405060708090a0b0c0d0e0f1", /* an odd number */
        "000102030405060708090a0b0c0d0e0g",  /* not a digit */
        "identity:000102030405060708090a0b0c0d0e0f",
        HEX32 HEX32 "00", /* longer than a key may be */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint8_t key[PSK_LIMIT];
        char why[256] = "";
        size_t length = 0;
        assert_false(reads(texts[i], key, &length, why));
        assert_non_null(strstr(why, folder.path));
        assert_null(strstr(why, "0c0d"));
    }
}

static void test_only_regular_files(void **state)
{
    uint8_t key[PSK_LIMIT];
    char why[256] = "";
    size_t length = 0;
    (void)state;
    assert_false(psk_file_read("/dev/zero", key, sizeof(key), &length, why, sizeof(why)));
    assert_false(psk_file_read("/nonexistent", key, sizeof(key), &length, why, sizeof(why)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_refuses_without_quoting),
        cmocka_unit_test(test_only_regular_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
