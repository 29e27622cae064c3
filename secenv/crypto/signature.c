/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/ed25519.h>

#include "secenv/crypto/signature.h"

#include <string.h>

enum result signing_key_make(struct signing_key *out)
{
    struct secret seed;
    GUARD(random_bytes(seed.data, SECRET_SIZE));
    enum result result = signing_key_from_seed(&seed, out);
    secret_wipe(&seed);
    return result;
}

enum result signing_key_from_seed(const struct secret *seed, struct signing_key *out)
{
    ed25519_key key;
    if (wc_ed25519_init(&key) != 0) {
        return RESULT_INTERNAL;
    }
    struct signing_key made = {.seed = *seed};
    bool good = wc_ed25519_import_private_only(seed->data, SECRET_SIZE, &key) == 0 &&
                wc_ed25519_make_public(&key, made.public_key, VERIFY_KEY_SIZE) == 0;
    if (good) {
        *out = made;
        secret_note("signing", out->seed.data, SECRET_SIZE);
    }
    signing_key_wipe(&made);
    wc_ed25519_free(&key);
    secret_wipe_bytes(&key, sizeof(key));
    return good ? RESULT_OK : RESULT_INTERNAL;
}

void signing_key_wipe(struct signing_key *key)
{
    secret_wipe_bytes(key, sizeof(*key));
}

enum result signature_make(const struct signing_key *key, const struct fields *list,
                           uint8_t out[SIGNATURE_SIZE])
{
    GUARD(fields_done(list));
    struct bytes message = fields_bytes(list);
    ed25519_key signer;
    if (wc_ed25519_init(&signer) != 0) {
        return RESULT_INTERNAL;
    }
    word32 size = SIGNATURE_SIZE;
    /* Trusted: signing_key_from_seed made the public key; to make it again would double the cost. */
    bool good = wc_ed25519_import_private_key_ex(key->seed.data, SECRET_SIZE, key->public_key,
                                                 VERIFY_KEY_SIZE, &signer, 1) == 0 &&
                wc_ed25519_sign_msg(message.data, (word32)message.length, out, &size, &signer) == 0 &&
                size == SIGNATURE_SIZE;
    wc_ed25519_free(&signer);
    secret_wipe_bytes(&signer, sizeof(signer));
    return good ? RESULT_OK : RESULT_INTERNAL;
}

/* RFC 8032 5.1.7: S, the second half, is below the group's order. wolfSSL 5.5 looks at its highest byte
 * only: of one signature in 16 anybody could make a second one, of S plus the order. */
static bool scalar_canonical(const uint8_t signature[SIGNATURE_SIZE])
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                      0xa2, 0xde, 0xf9, 0xde, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10};
    for (size_t i = sizeof(order); i-- > 0;) {
        if (signature[32 + i] != order[i]) {
            return signature[32 + i] < order[i];
        }
    }
    return false;
}

enum result signature_check(struct bytes public_key, const struct fields *list, struct bytes signature)
{
    GUARD(fields_done(list));
    if (public_key.length != VERIFY_KEY_SIZE || signature.length != SIGNATURE_SIZE ||
        !scalar_canonical(signature.data)) {
        return RESULT_REFUSED;
    }
    struct bytes message = fields_bytes(list);
    ed25519_key verifier;
    if (wc_ed25519_init(&verifier) != 0) {
        return RESULT_INTERNAL;
    }
    int verified = 0;
    bool good = wc_ed25519_import_public(public_key.data, VERIFY_KEY_SIZE, &verifier) == 0 &&
                wc_ed25519_verify_msg(signature.data, SIGNATURE_SIZE, message.data, (word32)message.length,
                                      &verified, &verifier) == 0 &&
                verified == 1;
    wc_ed25519_free(&verifier);
    return good ? RESULT_OK : RESULT_REFUSED;
}
