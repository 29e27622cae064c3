/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake.h"

#include <string.h>

/* RFC 8446 */
enum tls {
    TLS_RECORD_HANDSHAKE = 22,
    TLS_CLIENT_HELLO = 1,
    TLS_SERVER_HELLO = 2,
    TLS_VERSION_10 = 0x0301,
    TLS_VERSION_12 = 0x0303,
    TLS_VERSION_13 = 0x0304,
    TLS_CHACHA20_POLY1305_SHA256 = 0x1303,
    TLS_GROUP_X25519 = 0x001d,
    TLS_PSK_DHE_KE = 1,
    TLS_EXTENSION_ALPN = 16,
    TLS_EXTENSION_PRE_SHARED_KEY = 41,
    TLS_EXTENSION_EARLY_DATA = 42,
    TLS_EXTENSION_SUPPORTED_VERSIONS = 43,
    TLS_EXTENSION_PSK_MODES = 45,
    TLS_EXTENSION_KEY_SHARE = 51,
};

#define HELLO_LIMIT 4096u
#define X25519_SIZE 32u
#define EXTENSIONS_LIMIT 32u

/* A cursor over bytes; once something is missing, `good` is false and stays so. */
struct cursor {
    struct bytes rest;
    bool good;
};

static struct bytes take(struct cursor *cursor, size_t length)
{
    if (!cursor->good || cursor->rest.length < length) {
        cursor->good = false;
        return (struct bytes){NULL, 0};
    }
    struct bytes taken = {cursor->rest.data, length};
    cursor->rest = (struct bytes){cursor->rest.data + length, cursor->rest.length - length};
    return taken;
}

static size_t take_number(struct cursor *cursor, size_t length)
{
    struct bytes bytes = take(cursor, length);
    size_t value = 0;
    for (size_t i = 0; i < bytes.length; i++) {
        value = value << 8 | bytes.data[i];
    }
    return value;
}

/* A vector: its length in `length` bytes, then its content. */
static struct cursor take_vector(struct cursor *cursor, size_t length)
{
    size_t size = take_number(cursor, length);
    struct bytes content = take(cursor, size);
    return (struct cursor){content, cursor->good};
}

static bool at_end(const struct cursor *cursor)
{
    return cursor->good && cursor->rest.length == 0;
}

/* The handshake bytes of one or several records, which must be all that there is. */
static enum result join_records(struct bytes flight, struct buffer *out)
{
    struct cursor cursor = {flight, true};
    while (cursor.rest.length > 0) {
        size_t type = take_number(&cursor, 1);
        size_t version = take_number(&cursor, 2);
        struct cursor record = take_vector(&cursor, 2);
        bool version_good = version == TLS_VERSION_10 || version == TLS_VERSION_12;
        if (!cursor.good || type != TLS_RECORD_HANDSHAKE || !version_good || record.rest.length == 0) {
            return RESULT_INVALID;
        }
        GUARD(buffer_append(out, record.rest));
    }
    return RESULT_OK;
}

static enum result read_versions(struct cursor body, struct hello *out)
{
    struct cursor list = take_vector(&body, 1);
    while (list.good && list.rest.length > 0) {
        if (take_number(&list, 2) == TLS_VERSION_13) {
            out->offers_tls13 = true;
        }
    }
    return list.good && at_end(&body) ? RESULT_OK : RESULT_INVALID;
}

static enum result read_key_shares(struct cursor body, struct hello *out)
{
    struct cursor list = take_vector(&body, 2);
    while (list.good && list.rest.length > 0) {
        size_t group = take_number(&list, 2);
        struct cursor key = take_vector(&list, 2);
        if (group == TLS_GROUP_X25519 && key.rest.length == X25519_SIZE) {
            out->has_key_share = true;
        }
    }
    return list.good && at_end(&body) ? RESULT_OK : RESULT_INVALID;
}

static enum result read_psk_modes(struct cursor body, struct hello *out)
{
    struct cursor list = take_vector(&body, 1);
    while (list.good && list.rest.length > 0) {
        if (take_number(&list, 1) == TLS_PSK_DHE_KE) {
            out->offers_psk_dhe = true;
        }
    }
    return list.good && at_end(&body) ? RESULT_OK : RESULT_INVALID;
}

static enum result read_alpn(struct cursor body, struct hello *out)
{
    struct cursor list = take_vector(&body, 2);
    while (list.good && list.rest.length > 0) {
        struct cursor name = take_vector(&list, 1);
        if (name.good && name.rest.length == 0) {
            return RESULT_INVALID;
        }
        out->has_alpn = true;
    }
    return list.good && at_end(&body) ? RESULT_OK : RESULT_INVALID;
}

static void keep_identity(struct bytes identity, struct hello *out)
{
    if (identity.length < sizeof(out->psk_identity) && memchr(identity.data, 0, identity.length) == NULL) {
        memcpy(out->psk_identity, identity.data, identity.length);
        out->psk_identity[identity.length] = '\0';
    }
}

static enum result read_psk(struct cursor body, struct hello *out)
{
    struct cursor identities = take_vector(&body, 2);
    struct cursor binders = take_vector(&body, 2);
    out->has_psk = true;
    while (identities.good && identities.rest.length > 0) {
        struct cursor identity = take_vector(&identities, 2);
        (void)take_number(&identities, 4);
        if (!identities.good || identity.rest.length == 0) {
            return RESULT_INVALID;
        }
        if (out->psk_identities++ == 0) {
            keep_identity(identity.rest, out);
        }
    }
    return identities.good && binders.good && at_end(&body) ? RESULT_OK : RESULT_INVALID;
}

static enum result read_extension(size_t type, struct cursor body, struct hello *out)
{
    switch (type) {
    case TLS_EXTENSION_SUPPORTED_VERSIONS:
        return read_versions(body, out);
    case TLS_EXTENSION_KEY_SHARE:
        return read_key_shares(body, out);
    case TLS_EXTENSION_PSK_MODES:
        return read_psk_modes(body, out);
    case TLS_EXTENSION_ALPN:
        return read_alpn(body, out);
    case TLS_EXTENSION_PRE_SHARED_KEY:
        return read_psk(body, out);
    case TLS_EXTENSION_EARLY_DATA:
        out->has_early_data = true;
        return RESULT_OK;
    default:
        return RESULT_OK;
    }
}

static bool seen_before(size_t *seen, size_t *count, size_t type)
{
    for (size_t i = 0; i < *count; i++) {
        if (seen[i] == type) {
            return true;
        }
    }
    seen[(*count)++] = type;
    return false;
}

static enum result read_client_extensions(struct cursor list, struct hello *out)
{
    size_t seen[EXTENSIONS_LIMIT];
    size_t count = 0;
    while (list.good && list.rest.length > 0) {
        size_t type = take_number(&list, 2);
        struct cursor body = take_vector(&list, 2);
        if (!list.good || count == EXTENSIONS_LIMIT || seen_before(seen, &count, type)) {
            return RESULT_INVALID;
        }
        GUARD(read_extension(type, body, out));
    }
    return list.good ? RESULT_OK : RESULT_INVALID;
}

static enum result read_client_hello(struct bytes message, struct hello *out)
{
    struct cursor cursor = {message, true};
    size_t type = take_number(&cursor, 1);
    struct cursor body = take_vector(&cursor, 3);
    if (type != TLS_CLIENT_HELLO || !at_end(&cursor)) {
        return RESULT_INVALID;
    }
    size_t version = take_number(&body, 2);
    (void)take(&body, 32);       /* random */
    (void)take_vector(&body, 1); /* session id */
    struct cursor suites = take_vector(&body, 2);
    struct cursor compression = take_vector(&body, 1);
    if (!body.good || version != TLS_VERSION_12 || suites.rest.length == 0 || suites.rest.length % 2 != 0 ||
        compression.rest.length != 1 || compression.rest.data[0] != 0) {
        return RESULT_INVALID;
    }
    if (body.rest.length == 0) {
        return RESULT_OK; /* no extensions: an old version's hello, refused by what it lacks */
    }
    struct cursor extensions = take_vector(&body, 2);
    return at_end(&body) ? read_client_extensions(extensions, out) : RESULT_INVALID;
}

static enum result judge_client_hello(const struct hello *hello, struct reason *why)
{
    if (!hello->offers_tls13) {
        return result_fail(why, RESULT_REFUSED, "ClientHello does not offer TLS 1.3");
    }
    if (!hello->has_key_share) {
        return result_fail(why, RESULT_REFUSED,
                           "ClientHello has no key share on X25519: refused, there "
                           "would be a retry or no forward secrecy");
    }
    if (hello->has_early_data) {
        return result_fail(why, RESULT_REFUSED, "ClientHello announces early data, which is never taken");
    }
    if (hello->has_psk && !hello->offers_psk_dhe) {
        return result_fail(why, RESULT_REFUSED,
                           "ClientHello offers a pre-shared key without key agreement (psk_ke): refused, "
                           "there would be no forward secrecy");
    }
    if (!hello->has_alpn) {
        return result_fail(why, RESULT_REFUSED, "ClientHello offers no mechanism (ALPN), must offer %s",
                           MECHANISM_WRAP);
    }
    return RESULT_OK;
}

enum result hello_parse(struct bytes flight1, struct hello *out, struct reason *why)
{
    memset(out, 0, sizeof(*out));
    if (flight1.length > HELLO_LIMIT) {
        return result_fail(why, RESULT_INVALID, "ClientHello has %zu bytes, at most %u are taken",
                           flight1.length, HELLO_LIMIT);
    }
    struct buffer message = BUFFER_EMPTY(HELLO_LIMIT);
    enum result result = join_records(flight1, &message);
    if (result == RESULT_OK) {
        result = read_client_hello(buffer_bytes(&message), out);
    }
    buffer_clear(&message);
    if (result != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "flight 1 is not one well-formed ClientHello");
    }
    return judge_client_hello(out, why);
}

/* SHA-256 of "HelloRetryRequest" (RFC 8446 4.1.3). */
static const uint8_t retry_random[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                         0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                         0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

struct server_answer {
    bool version;
    bool key_share;
    bool psk;
};

static bool read_server_extensions(struct cursor list, struct server_answer *out)
{
    while (list.good && list.rest.length > 0) {
        size_t type = take_number(&list, 2);
        struct cursor body = take_vector(&list, 2);
        if (type == TLS_EXTENSION_SUPPORTED_VERSIONS) {
            out->version = take_number(&body, 2) == TLS_VERSION_13 && at_end(&body);
        } else if (type == TLS_EXTENSION_KEY_SHARE) {
            size_t group = take_number(&body, 2);
            struct cursor key = take_vector(&body, 2);
            out->key_share = group == TLS_GROUP_X25519 && key.rest.length == X25519_SIZE && at_end(&body);
        } else if (type == TLS_EXTENSION_PRE_SHARED_KEY) {
            out->psk = take_number(&body, 2) == 0 && at_end(&body);
        } else {
            return false; /* nothing else belongs in the clear (RFC 8446 4.2) */
        }
    }
    return list.good;
}

static bool read_server_hello(struct bytes flight2, struct server_answer *out)
{
    struct cursor cursor = {flight2, true};
    size_t record_type = take_number(&cursor, 1);
    size_t record_version = take_number(&cursor, 2);
    struct cursor record = take_vector(&cursor, 2);
    size_t type = take_number(&record, 1);
    struct cursor body = take_vector(&record, 3);
    size_t version = take_number(&body, 2);
    struct bytes random = take(&body, 32);
    (void)take_vector(&body, 1);
    size_t suite = take_number(&body, 2);
    size_t compression = take_number(&body, 1);
    struct cursor extensions = take_vector(&body, 2);
    return cursor.good && at_end(&body) && at_end(&record) && record_type == TLS_RECORD_HANDSHAKE &&
           record_version == TLS_VERSION_12 && type == TLS_SERVER_HELLO && version == TLS_VERSION_12 &&
           suite == TLS_CHACHA20_POLY1305_SHA256 && compression == 0 &&
           !bytes_equal(random, BYTES_OF(retry_random)) && read_server_extensions(extensions, out);
}

enum result server_hello_check(struct bytes flight2, bool psk, struct reason *why)
{
    struct server_answer answer = {false, false, false};
    if (!read_server_hello(flight2, &answer)) {
        return result_fail(why, RESULT_REFUSED,
                           "flight 2 does not begin with a ServerHello of TLS13-CHACHA20-POLY1305-SHA256");
    }
    if (!answer.version || !answer.key_share) {
        return result_fail(why, RESULT_REFUSED, "ServerHello is not TLS 1.3 with a key share on X25519");
    }
    if (answer.psk != psk) {
        return result_fail(why, RESULT_REFUSED, "ServerHello %s the pre-shared key",
                           psk ? "does not take" : "takes");
    }
    return RESULT_OK;
}
