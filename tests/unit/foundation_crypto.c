/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "secenv/crypto/aead.h"
#include "secenv/crypto/kdf.h"
#include "secenv/crypto/signature.h"
#include "tests/unit/hex.h"

static struct secret secret_of(const char *hex)
{
    struct secret secret;
    assert_int_equal(unhex(hex, secret.data, SECRET_SIZE), SECRET_SIZE);
    return secret;
}

static void assert_hex(const void *data, size_t length, const char *hex)
{
    uint8_t expected[512];
    assert_int_equal(unhex(hex, expected, sizeof(expected)), length);
    assert_memory_equal(data, expected, length);
}

#define COUNTING_KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* RFC 5869 fixes IKM, salt and info of its vectors; these were computed by its section 2 with HMAC of
 * Python's standard library, for our info. */
static void kdf_vectors(void **state)
{
    (void)state;
    struct secret key = secret_of(COUNTING_KEY);
    struct secret derived;
    assert_int_equal(kdf_label(&key, "key", &derived), RESULT_OK);
    assert_hex(derived.data, SECRET_SIZE, "67a09d20c33bdc47064d62dc905d05c4557bc413c4e25e32b344bc2866707ef1");

    struct fields info;
    fields_init(&info);
    fields_label(&info, "epoch");
    fields_fix(&info, (struct bytes){key.data, 16}, 16);
    fields_u64(&info, 7);
    fields_u64(&info, 9);
    struct secret base;
    assert_int_equal(kdf_extract(&key, &base), RESULT_OK);
    assert_int_equal(kdf_expand(&base, &info, &derived), RESULT_OK);
    assert_int_equal(kdf_fields(&key, &info, &key), RESULT_OK);
    assert_memory_equal(derived.data, key.data, SECRET_SIZE);
    assert_hex(key.data, SECRET_SIZE, "8227e441eff287094be3360d13378354f95504bc6c6eba7d05331b186868ffc9");
    fields_fix(&info, BYTES_OF(key.data), 5);
    assert_int_equal(kdf_fields(&key, &info, &key), RESULT_INVALID);
    assert_int_equal(kdf_expand(&base, &info, &derived), RESULT_INVALID);
    fields_clear(&info);
}

static void hash_vectors(void **state)
{
    (void)state;
    uint8_t hash[HASH_SIZE];
    assert_int_equal(hash_bytes(bytes_of_text("abc"), hash), RESULT_OK);
    assert_hex(hash, HASH_SIZE, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(hash_bytes(bytes_of_text(NULL), hash), RESULT_OK);
    assert_hex(hash, HASH_SIZE, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 8439 A.5: its nonce has our shape, 4 zero bytes and 8 of a counter. */
static void chacha20_poly1305_vector(void **state)
{
    (void)state;
    struct secret key = secret_of("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    static const char text[] =
        "Internet-Drafts are draft documents valid for a maximum of six months and may be "
        "updated, replaced, or obsoleted by other documents at any time. It is "
        "inappropriate to use Internet-Drafts as reference material or to cite them "
        "other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
    uint8_t aad[12];
    assert_int_equal(unhex("f33388860000000000004e91", aad, sizeof(aad)), 12);
    struct buffer sealed = BUFFER_EMPTY(1024);
    assert_int_equal(aead_seal(AEAD_CHACHA20_POLY1305_CIPHER, &key, 0x0102030405060708, BYTES_OF(aad),
                               bytes_of_text(text), &sealed),
                     RESULT_OK);
    assert_int_equal(sealed.length, 265 + AEAD_TAG_SIZE);
    assert_hex(sealed.data, 32, "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2");
    assert_hex(sealed.data + 265, AEAD_TAG_SIZE, "eead9d67890cbb22392336fea1851f38");
    buffer_clear(&sealed);
}

/* The GCM specification's test cases 13 and 14: key and nonce of zeros. */
static void aes_256_gcm_vectors(void **state)
{
    (void)state;
    struct secret key;
    memset(&key, 0, sizeof(key));
    uint8_t zeros[16] = {0};
    struct buffer sealed = BUFFER_EMPTY(64);
    assert_int_equal(
        aead_seal(AEAD_AES_256_GCM_CIPHER, &key, 0, bytes_of_text(NULL), bytes_of_text(NULL), &sealed),
        RESULT_OK);
    assert_hex(sealed.data, sealed.length, "530f8afbc74536b9a963b4f1c4cb738b");
    buffer_clear(&sealed);
    assert_int_equal(
        aead_seal(AEAD_AES_256_GCM_CIPHER, &key, 0, bytes_of_text(NULL), BYTES_OF(zeros), &sealed),
        RESULT_OK);
    assert_hex(sealed.data, sealed.length,
               "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    buffer_clear(&sealed);
}

static void aead_opens_only_what_was_sealed(void **state)
{
    (void)state;
    const enum aead ciphers[] = {AEAD_CHACHA20_POLY1305_CIPHER, AEAD_AES_256_GCM_CIPHER};
    struct secret key = secret_of(COUNTING_KEY);
    struct bytes aad = bytes_of_text("place");
    for (size_t i = 0; i < 2; i++) {
        struct buffer sealed = BUFFER_EMPTY(64);
        struct buffer opened = BUFFER_EMPTY(64);
        assert_int_equal(aead_seal(ciphers[i], &key, 5, aad, bytes_of_text("close"), &sealed), RESULT_OK);
        struct bytes ciphertext = buffer_bytes(&sealed);
        assert_int_equal(aead_open(ciphers[i], &key, 5, aad, ciphertext, &opened), RESULT_OK);
        assert_true(bytes_equal(buffer_bytes(&opened), bytes_of_text("close")));
        buffer_clear(&opened);

        assert_int_equal(aead_open(ciphers[i], &key, 6, aad, ciphertext, &opened), RESULT_REFUSED);
        assert_int_equal(aead_open(ciphers[i], &key, 5, bytes_of_text("other"), ciphertext, &opened),
                         RESULT_REFUSED);
        ciphertext.length--;
        assert_int_equal(aead_open(ciphers[i], &key, 5, aad, ciphertext, &opened), RESULT_REFUSED);
        ciphertext.length = AEAD_TAG_SIZE - 1;
        assert_int_equal(aead_open(ciphers[i], &key, 5, aad, ciphertext, &opened), RESULT_REFUSED);
        sealed.data[0] ^= 1;
        assert_int_equal(aead_open(ciphers[i], &key, 5, aad, buffer_bytes(&sealed), &opened), RESULT_REFUSED);
        assert_int_equal(opened.length, 0);
        buffer_clear(&sealed);
    }
}

/* RFC 3394 4.6. */
static void keywrap_vector(void **state)
{
    (void)state;
    struct secret key = secret_of(COUNTING_KEY);
    struct secret data = secret_of("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
    uint8_t wrapped[WRAP_SIZE];
    assert_int_equal(keywrap_wrap(&key, &data, wrapped), RESULT_OK);
    assert_hex(wrapped, WRAP_SIZE,
               "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21");
    struct secret opened;
    assert_int_equal(keywrap_unwrap(&key, wrapped, &opened), RESULT_OK);
    assert_memory_equal(opened.data, data.data, SECRET_SIZE);
    wrapped[7] ^= 1;
    memset(&opened, 0, sizeof(opened));
    assert_int_equal(keywrap_unwrap(&key, wrapped, &opened), RESULT_REFUSED);
    assert_int_equal(opened.data[0] | opened.data[31], 0);
    wrapped[7] ^= 1;
    assert_int_equal(keywrap_unwrap(&data, wrapped, &opened), RESULT_REFUSED);
}

/* RFC 8032 7.1, test 3. */
static void signature_vector(void **state)
{
    (void)state;
    struct secret seed = secret_of("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
    struct signing_key key;
    assert_int_equal(signing_key_from_seed(&seed, &key), RESULT_OK);
    assert_hex(key.public_key, VERIFY_KEY_SIZE,
               "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    static const uint8_t message[] = {0xaf, 0x82};
    struct fields list;
    fields_init(&list);
    fields_fix(&list, BYTES_OF(message), 2);
    uint8_t signature[SIGNATURE_SIZE];
    assert_int_equal(signature_make(&key, &list, signature), RESULT_OK);
    assert_hex(signature, SIGNATURE_SIZE,
               "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
               "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    struct bytes public_key = BYTES_OF(key.public_key);
    struct bytes good = BYTES_OF(signature);
    assert_int_equal(signature_check(public_key, &list, good), RESULT_OK);

    good.length--;
    assert_int_equal(signature_check(public_key, &list, good), RESULT_REFUSED);
    good.length++;
    public_key.length--;
    assert_int_equal(signature_check(public_key, &list, good), RESULT_REFUSED);
    public_key.length++;
    signature[40] ^= 1;
    assert_int_equal(signature_check(public_key, &list, good), RESULT_REFUSED);
    signature[40] ^= 1;
    fields_u8(&list, 0);
    assert_int_equal(signature_check(public_key, &list, good), RESULT_REFUSED);
    fields_clear(&list);
    signing_key_wipe(&key);
}

/* RFC 8032 5.1.7 takes one S only. wolfSSL looks at its highest byte, so the message is one with a small S.
 */
static void signature_has_one_form(void **state)
{
    (void)state;
    struct secret seed = secret_of("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
    struct signing_key key;
    static const uint8_t message[] = {0xaf, 0x82, 2};
    struct fields list;
    uint8_t signature[SIGNATURE_SIZE];
    assert_int_equal(signing_key_from_seed(&seed, &key), RESULT_OK);
    fields_init(&list);
    fields_fix(&list, BYTES_OF(message), sizeof(message));
    assert_int_equal(signature_make(&key, &list, signature), RESULT_OK);
    assert_int_equal(signature_check(BYTES_OF(key.public_key), &list, BYTES_OF(signature)), RESULT_OK);
    /* The same S, plus the order of the group. */
    assert_int_equal(
        unhex("cc201e561b571f41c3e90152a7415992801e78742e1a54a18178ce552a5ff810", signature + 32, 32), 32);
    assert_int_equal(signature_check(BYTES_OF(key.public_key), &list, BYTES_OF(signature)), RESULT_REFUSED);
    fields_clear(&list);
    signing_key_wipe(&key);
}

static void random_keys_differ(void **state)
{
    (void)state;
    struct signing_key a;
    struct signing_key b;
    assert_int_equal(signing_key_make(&a), RESULT_OK);
    assert_int_equal(signing_key_make(&b), RESULT_OK);
    assert_memory_not_equal(&a.seed, &b.seed, SECRET_SIZE);
    static uint8_t large[70000];
    assert_int_equal(random_bytes(large, sizeof(large)), RESULT_OK);
    unsigned tail = 0;
    for (size_t i = sizeof(large) - 32; i < sizeof(large); i++) {
        tail |= large[i];
    }
    assert_int_not_equal(tail, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kdf_vectors),
        cmocka_unit_test(hash_vectors),
        cmocka_unit_test(chacha20_poly1305_vector),
        cmocka_unit_test(aes_256_gcm_vectors),
        cmocka_unit_test(aead_opens_only_what_was_sealed),
        cmocka_unit_test(keywrap_vector),
        cmocka_unit_test(signature_vector),
        cmocka_unit_test(signature_has_one_form),
        cmocka_unit_test(random_keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
