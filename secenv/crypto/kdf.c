/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "secenv/crypto/kdf.h"

#include <string.h>

/* The label of a confirmation tag, which is published: not a secret to look for. */
static const char public_label[] = "groupseal/v1 confirm";

/* Notes the derived secret under the label that its info starts with. */
static void note_derived(struct bytes info, const struct secret *secret)
{
    char label[64] = "";
    size_t length = info.length < 2 ? 0 : (size_t)((info.data[0] << 8) | info.data[1]);
    if (length > 0 && length < sizeof(label) && length <= info.length - 2) {
        memcpy(label, info.data + 2, length);
        label[length] = '\0';
    }
    if (strcmp(label, public_label) != 0) {
        secret_note(label, secret->data, SECRET_SIZE);
    }
}

enum result kdf_label(const struct secret *secret, const char *label, struct secret *out)
{
    struct fields info;
    fields_init(&info);
    fields_label(&info, label);
    enum result result = kdf_fields(secret, &info, out);
    fields_clear(&info);
    return result;
}

enum result kdf_fields(const struct secret *secret, const struct fields *info, struct secret *out)
{
    GUARD(fields_done(info));
    struct bytes bytes = fields_bytes(info);
    struct secret derived; /* `out` may be `secret` */
    if (wc_HKDF(WC_SHA256, secret->data, SECRET_SIZE, NULL, 0, bytes.data, (word32)bytes.length, derived.data,
                SECRET_SIZE) != 0) {
        return RESULT_INTERNAL;
    }
    *out = derived;
    secret_wipe(&derived);
    note_derived(bytes, out);
    return RESULT_OK;
}

enum result kdf_extract(const struct secret *secret, struct secret *base)
{
    struct secret copy = *secret; /* wolfCrypt wants to be able to write to it */
    int error = wc_HKDF_Extract(WC_SHA256, NULL, 0, copy.data, SECRET_SIZE, base->data);
    secret_wipe(&copy);
    if (error != 0) {
        return RESULT_INTERNAL;
    }
    secret_note("extracted", base->data, SECRET_SIZE);
    return RESULT_OK;
}

enum result kdf_expand(const struct secret *base, const struct fields *info, struct secret *out)
{
    GUARD(fields_done(info));
    struct bytes bytes = fields_bytes(info);
    if (wc_HKDF_Expand(WC_SHA256, base->data, SECRET_SIZE, bytes.data, (word32)bytes.length, out->data,
                       SECRET_SIZE) != 0) {
        return RESULT_INTERNAL;
    }
    note_derived(bytes, out);
    return RESULT_OK;
}

enum result hash_bytes(struct bytes bytes, uint8_t out[HASH_SIZE])
{
    static const uint8_t nothing[1];
    const uint8_t *data = bytes.data == NULL ? nothing : bytes.data;
    if (bytes.length > UINT32_MAX || wc_Sha256Hash(data, (word32)bytes.length, out) != 0) {
        return RESULT_INTERNAL;
    }
    return RESULT_OK;
}

enum result hash_fields(const struct fields *fields, uint8_t out[HASH_SIZE])
{
    GUARD(fields_done(fields));
    return hash_bytes(fields_bytes(fields), out);
}
