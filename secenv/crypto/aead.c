/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#include "secenv/crypto/aead.h"

#include <stdlib.h>
#include <string.h>

#define NONCE_LENGTH 12u

static const uint8_t nothing[1];

/* wolfCrypt wants pointers, for no bytes too. */
static const uint8_t *some(struct bytes bytes)
{
    return bytes.data == NULL ? nothing : bytes.data;
}

static void nonce_of(uint64_t counter, uint8_t nonce[NONCE_LENGTH])
{
    memset(nonce, 0, 4);
    for (unsigned i = 0; i < 8; i++) {
        nonce[4 + i] = (uint8_t)(counter >> (56 - 8 * i));
    }
}

static int gcm_seal(const struct secret *key, const uint8_t *nonce, struct bytes aad, struct bytes plaintext,
                    uint8_t *sealed)
{
    Aes aes;
    int error = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (error != 0) {
        return error;
    }
    error = wc_AesGcmSetKey(&aes, key->data, SECRET_SIZE);
    if (error == 0) {
        error = wc_AesGcmEncrypt(&aes, sealed, some(plaintext), (word32)plaintext.length, nonce, NONCE_LENGTH,
                                 sealed + plaintext.length, AEAD_TAG_SIZE, some(aad), (word32)aad.length);
    }
    wc_AesFree(&aes);
    secret_wipe_bytes(&aes, sizeof(aes));
    return error;
}

static int gcm_open(const struct secret *key, const uint8_t *nonce, struct bytes aad, struct bytes ciphertext,
                    uint8_t *plaintext)
{
    size_t length = ciphertext.length - AEAD_TAG_SIZE;
    Aes aes;
    int error = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (error != 0) {
        return error;
    }
    error = wc_AesGcmSetKey(&aes, key->data, SECRET_SIZE);
    if (error == 0) {
        error = wc_AesGcmDecrypt(&aes, plaintext, ciphertext.data, (word32)length, nonce, NONCE_LENGTH,
                                 ciphertext.data + length, AEAD_TAG_SIZE, some(aad), (word32)aad.length);
    }
    wc_AesFree(&aes);
    secret_wipe_bytes(&aes, sizeof(aes));
    return error;
}

enum result aead_seal(enum aead cipher, const struct secret *key, uint64_t counter, struct bytes aad,
                      struct bytes plaintext, struct buffer *out)
{
    if (plaintext.length > UINT32_MAX - AEAD_TAG_SIZE || aad.length > UINT32_MAX) {
        return RESULT_INVALID;
    }
    uint8_t nonce[NONCE_LENGTH];
    nonce_of(counter, nonce);
    size_t size = plaintext.length + AEAD_TAG_SIZE;
    uint8_t *sealed = malloc(size);
    if (sealed == NULL) {
        return RESULT_INTERNAL;
    }
    int error = -1;
    if (cipher == AEAD_CHACHA20_POLY1305_CIPHER) {
        error = wc_ChaCha20Poly1305_Encrypt(key->data, nonce, some(aad), (word32)aad.length, some(plaintext),
                                            (word32)plaintext.length, sealed, sealed + plaintext.length);
    } else if (cipher == AEAD_AES_256_GCM_CIPHER) {
        error = gcm_seal(key, nonce, aad, plaintext, sealed);
    }
    enum result result = error == 0 ? buffer_append(out, (struct bytes){sealed, size}) : RESULT_INTERNAL;
    free(sealed);
    return result;
}

enum result aead_open(enum aead cipher, const struct secret *key, uint64_t counter, struct bytes aad,
                      struct bytes ciphertext, struct buffer *out)
{
    if (ciphertext.length < AEAD_TAG_SIZE || ciphertext.length > UINT32_MAX || aad.length > UINT32_MAX) {
        return RESULT_REFUSED;
    }
    uint8_t nonce[NONCE_LENGTH];
    nonce_of(counter, nonce);
    size_t length = ciphertext.length - AEAD_TAG_SIZE;
    uint8_t *plaintext = malloc(length + 1); /* never of no size */
    if (plaintext == NULL) {
        return RESULT_INTERNAL;
    }
    int error = -1;
    if (cipher == AEAD_CHACHA20_POLY1305_CIPHER) {
        error = wc_ChaCha20Poly1305_Decrypt(key->data, nonce, some(aad), (word32)aad.length, ciphertext.data,
                                            (word32)length, ciphertext.data + length, plaintext);
    } else if (cipher == AEAD_AES_256_GCM_CIPHER) {
        error = gcm_open(key, nonce, aad, ciphertext, plaintext);
    }
    enum result result = error == 0 ? buffer_append(out, (struct bytes){plaintext, length}) : RESULT_REFUSED;
    secret_wipe_bytes(plaintext, length + 1);
    free(plaintext);
    return result;
}

enum result keywrap_wrap(const struct secret *key, const struct secret *secret, uint8_t out[WRAP_SIZE])
{
    int size = wc_AesKeyWrap(key->data, SECRET_SIZE, secret->data, SECRET_SIZE, out, WRAP_SIZE, NULL);
    return size == (int)WRAP_SIZE ? RESULT_OK : RESULT_INTERNAL;
}

enum result keywrap_unwrap(const struct secret *key, const uint8_t wrapped[WRAP_SIZE], struct secret *out)
{
    struct secret unwrapped;
    int size = wc_AesKeyUnWrap(key->data, SECRET_SIZE, wrapped, WRAP_SIZE, unwrapped.data, SECRET_SIZE, NULL);
    enum result result = size == (int)SECRET_SIZE ? RESULT_OK : RESULT_REFUSED;
    if (result == RESULT_OK) {
        *out = unwrapped;
        secret_note("unwrapped", out->data, SECRET_SIZE);
    }
    secret_wipe(&unwrapped);
    return result;
}
