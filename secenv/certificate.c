/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/coding.h>

#include "secenv/crypto/kdf.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_VERSION = 0xa0,
    DER_EXTENSIONS = 0xa3,
    DER_DNS_NAME = 0x82,
    DER_URI = 0x86,
};

/* One element of DER: its tag, its content, and the whole of it. */
struct element {
    uint8_t tag;
    struct bytes content;
    struct bytes whole;
};

/* Definite lengths in the fewest bytes, up to three of them: a CRL may be long. */
static enum result der_length(struct bytes in, size_t *header, size_t *length)
{
    if (in.length < 2) {
        return RESULT_INVALID;
    }
    if (in.data[1] < 0x80) {
        *header = 2;
        *length = in.data[1];
    } else if (in.data[1] == 0x81 && in.length >= 3 && in.data[2] >= 0x80) {
        *header = 3;
        *length = in.data[2];
    } else if (in.data[1] == 0x82 && in.length >= 4 && in.data[2] != 0) {
        *header = 4;
        *length = (size_t)in.data[2] << 8 | in.data[3];
    } else if (in.data[1] == 0x83 && in.length >= 5 && in.data[2] != 0) {
        *header = 5;
        *length = (size_t)in.data[2] << 16 | (size_t)in.data[3] << 8 | in.data[4];
    } else {
        return RESULT_INVALID;
    }
    return *length <= in.length - *header ? RESULT_OK : RESULT_INVALID;
}

static enum result der_next(struct bytes *rest, struct element *out)
{
    size_t header = 0;
    size_t length = 0;
    GUARD(der_length(*rest, &header, &length));
    out->tag = rest->data[0];
    out->content = (struct bytes){rest->data + header, length};
    out->whole = (struct bytes){rest->data, header + length};
    *rest = (struct bytes){rest->data + header + length, rest->length - header - length};
    return RESULT_OK;
}

static enum result der_expect(struct bytes *rest, uint8_t tag, struct element *out)
{
    GUARD(der_next(rest, out));
    return out->tag == tag ? RESULT_OK : RESULT_INVALID;
}

static bool der_is(struct bytes rest, uint8_t tag)
{
    return rest.length > 0 && rest.data[0] == tag;
}

static enum result two_digits(const uint8_t *text, int *out)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') {
        return RESULT_INVALID;
    }
    *out = (text[0] - '0') * 10 + (text[1] - '0');
    return RESULT_OK;
}

/* UTCTime or GeneralizedTime, both in seconds and with Z (RFC 5280 4.1.2.5). */
static enum result der_time(struct bytes *rest, uint64_t *out)
{
    struct element element;
    GUARD(der_next(rest, &element));
    bool utc = element.tag == DER_UTC_TIME && element.content.length == 13;
    bool generalized = element.tag == DER_GENERALIZED_TIME && element.content.length == 15;
    if ((!utc && !generalized) || element.content.data[element.content.length - 1] != 'Z') {
        return RESULT_INVALID;
    }
    int part[7];
    size_t count = (element.content.length - 1) / 2;
    for (size_t i = 0; i < count; i++) {
        GUARD(two_digits(element.content.data + 2 * i, &part[i]));
    }
    int year = utc ? (part[0] < 50 ? 2000 : 1900) + part[0] : part[0] * 100 + part[1];
    const int *p = utc ? part + 1 : part + 2;
    if (year < 1970) {
        *out = 0;
        return RESULT_OK;
    }
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = p[0] - 1,
                    .tm_mday = p[1],
                    .tm_hour = p[2],
                    .tm_min = p[3],
                    .tm_sec = p[4]};
    time_t seconds = timegm(&tm);
    *out = seconds < 0 ? 0 : (uint64_t)seconds;
    return RESULT_OK;
}

#define P256_POINT_SIZE 65u

static const uint8_t p256_key[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                   0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t ecdsa_sha256[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                       0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t oid_key_usage[] = {0x55, 0x1d, 0x0f};
static const uint8_t oid_alternative_name[] = {0x55, 0x1d, 0x11};
static const uint8_t oid_constraints[] = {0x55, 0x1d, 0x13};
static const uint8_t oid_extended_usage[] = {0x55, 0x1d, 0x25};
static const uint8_t oid_common_name[] = {0x55, 0x04, 0x03};
static const uint8_t oid_list_number[] = {0x55, 0x1d, 0x14};
static const uint8_t oid_server[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
static const uint8_t oid_client[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02};

static enum result read_key_usage(struct bytes value, struct certificate *out)
{
    struct element bits;
    GUARD(der_expect(&value, DER_BIT_STRING, &bits));
    out->signs_only = value.length == 0 && bits.content.length == 2 && bits.content.data[1] == 0x80;
    return RESULT_OK;
}

static enum result read_constraints(struct bytes value, struct certificate *out)
{
    struct element list;
    struct element is_ca;
    GUARD(der_expect(&value, DER_SEQUENCE, &list));
    if (der_is(list.content, DER_BOOLEAN)) {
        GUARD(der_next(&list.content, &is_ca));
        out->is_ca = is_ca.content.length == 1 && is_ca.content.data[0] == 0xff;
    }
    return RESULT_OK;
}

static enum result read_extended_usage(struct bytes value, struct certificate *out)
{
    struct element list;
    struct element usage;
    GUARD(der_expect(&value, DER_SEQUENCE, &list));
    GUARD(der_expect(&list.content, DER_OID, &usage));
    bool alone = list.content.length == 0 && value.length == 0;
    out->server_only = alone && bytes_equal(usage.content, BYTES_OF(oid_server));
    out->client_only = alone && bytes_equal(usage.content, BYTES_OF(oid_client));
    return RESULT_OK;
}

static enum result read_names(struct bytes value, struct certificate *out)
{
    struct element list;
    GUARD(der_expect(&value, DER_SEQUENCE, &list));
    while (list.content.length > 0) {
        struct element name;
        GUARD(der_next(&list.content, &name));
        if (out->names++ == 0) {
            out->name = name.content;
            out->name_is_uri = name.tag == DER_URI;
            out->name_is_dns = name.tag == DER_DNS_NAME;
        }
    }
    return value.length == 0 ? RESULT_OK : RESULT_INVALID;
}

/* The extensions that are read; each may be there once. */
static const struct {
    struct bytes oid;
    enum result (*read)(struct bytes value, struct certificate *out);
} known_extensions[] = {
    {{oid_key_usage, sizeof(oid_key_usage)}, read_key_usage},
    {{oid_extended_usage, sizeof(oid_extended_usage)}, read_extended_usage},
    {{oid_alternative_name, sizeof(oid_alternative_name)}, read_names},
    {{oid_constraints, sizeof(oid_constraints)}, read_constraints},
};

#define KNOWN_EXTENSIONS (sizeof(known_extensions) / sizeof(known_extensions[0]))

static enum result read_extension(struct bytes rest, bool seen[KNOWN_EXTENSIONS], struct certificate *out)
{
    struct element oid;
    struct element value;
    GUARD(der_expect(&rest, DER_OID, &oid));
    if (der_is(rest, DER_BOOLEAN)) {
        GUARD(der_next(&rest, &value)); /* critical: wolfSSL refuses those that it does not know */
    }
    GUARD(der_expect(&rest, DER_OCTET_STRING, &value));
    for (size_t i = 0; i < KNOWN_EXTENSIONS; i++) {
        if (bytes_equal(oid.content, known_extensions[i].oid)) {
            bool twice = seen[i];
            seen[i] = true;
            return twice ? RESULT_INVALID : known_extensions[i].read(value.content, out);
        }
    }
    return RESULT_OK;
}

static enum result read_extensions(struct bytes rest, struct certificate *out)
{
    bool seen[KNOWN_EXTENSIONS] = {false};
    struct element element;
    struct element list;
    if (!der_is(rest, DER_EXTENSIONS)) {
        return rest.length == 0 ? RESULT_OK : RESULT_INVALID;
    }
    GUARD(der_next(&rest, &element));
    GUARD(der_expect(&element.content, DER_SEQUENCE, &list));
    while (list.content.length > 0) {
        GUARD(der_expect(&list.content, DER_SEQUENCE, &element));
        GUARD(read_extension(element.content, seen, out));
    }
    return RESULT_OK;
}

static enum result read_key(struct bytes *rest, bool *on_p256, struct bytes *point)
{
    struct element info;
    struct element algorithm;
    struct element bits;
    GUARD(der_expect(rest, DER_SEQUENCE, &info));
    GUARD(der_expect(&info.content, DER_SEQUENCE, &algorithm));
    GUARD(der_expect(&info.content, DER_BIT_STRING, &bits));
    *on_p256 = bytes_equal(algorithm.whole, BYTES_OF(p256_key));
    if (*on_p256 && bits.content.length == 1 + P256_POINT_SIZE && bits.content.data[0] == 0) {
        *point = (struct bytes){bits.content.data + 1, P256_POINT_SIZE};
    }
    return RESULT_OK;
}

/* From the serial to the subject. */
static enum result read_names_and_dates(struct bytes *rest, bool *signed_well, struct certificate *out)
{
    struct element element;
    GUARD(der_expect(rest, DER_INTEGER, &element));
    out->serial = element.content;
    GUARD(der_expect(rest, DER_SEQUENCE, &element));
    *signed_well = bytes_equal(element.whole, BYTES_OF(ecdsa_sha256));
    GUARD(der_expect(rest, DER_SEQUENCE, &element));
    out->issuer = element.whole;
    GUARD(der_expect(rest, DER_SEQUENCE, &element));
    GUARD(der_time(&element.content, &out->not_before));
    GUARD(der_time(&element.content, &out->not_after));
    GUARD(der_expect(rest, DER_SEQUENCE, &element));
    out->subject = element.whole;
    return RESULT_OK;
}

/* The signed part of a certificate or CRL. */
static enum result read_body(struct bytes der, struct bytes *out)
{
    struct element whole;
    struct element body;
    GUARD(der_expect(&der, DER_SEQUENCE, &whole));
    GUARD(der_expect(&whole.content, DER_SEQUENCE, &body));
    *out = body.content;
    return RESULT_OK;
}

enum result certificate_parse(struct bytes der, struct certificate *out)
{
    memset(out, 0, sizeof(*out));
    struct bytes rest;
    struct element version;
    bool signed_well = false;
    bool on_p256 = false;
    GUARD(read_body(der, &rest));
    GUARD(der_expect(&rest, DER_VERSION, &version));
    GUARD(read_names_and_dates(&rest, &signed_well, out));
    GUARD(read_key(&rest, &on_p256, &out->public_key));
    out->is_p256 = signed_well && on_p256;
    return read_extensions(rest, out);
}

enum result certificate_mark(struct bytes issuer, struct bytes serial, uint8_t out[CERTIFICATE_MARK_SIZE])
{
    struct fields list;
    uint8_t hash[HASH_SIZE];
    fields_init(&list);
    fields_var(&list, issuer);
    fields_var(&list, serial);
    enum result result = hash_fields(&list, hash);
    fields_clear(&list);
    if (result == RESULT_OK) {
        memcpy(out, hash, CERTIFICATE_MARK_SIZE);
    }
    return result;
}

static enum result refuse(enum audit_counter *cause, enum audit_counter which)
{
    if (cause != NULL) {
        *cause = which;
    }
    return RESULT_REFUSED;
}

static enum result check_name(const struct certificate *certificate, const char *whose, const char *san,
                              bool is_uri, struct reason *why)
{
    if (certificate->names != 1) {
        return result_fail(why, RESULT_REFUSED,
                           "certificate of %s has %zu subjectAltNames, must have exactly one: %s:%s", whose,
                           certificate->names, is_uri ? "URI" : "DNS", san);
    }
    bool type = is_uri ? certificate->name_is_uri : certificate->name_is_dns;
    if (!type || !bytes_equal(certificate->name, bytes_of_text(san))) {
        return result_fail(why, RESULT_REFUSED, "certificate is not of %s: its subjectAltName is not %s:%s",
                           whose, is_uri ? "URI" : "DNS", san);
    }
    return RESULT_OK;
}

static enum result check_usage(const struct certificate *certificate, const char *whose,
                               enum certificate_usage usage, struct reason *why)
{
    if (!certificate->is_p256) {
        return result_fail(why, RESULT_REFUSED,
                           "certificate of %s is not on P-256, signed with ECDSA and SHA-256", whose);
    }
    if (!certificate->signs_only) {
        return result_fail(why, RESULT_REFUSED,
                           "certificate of %s must have the key usage digitalSignature and no other", whose);
    }
    bool good = usage == CERTIFICATE_SERVER ? certificate->server_only : certificate->client_only;
    if (!good) {
        return result_fail(why, RESULT_REFUSED,
                           "certificate of %s must have the extended key usage %s and no other", whose,
                           usage == CERTIFICATE_SERVER ? "serverAuth" : "clientAuth");
    }
    return RESULT_OK;
}

enum result certificate_check(const struct certificate *certificate, const char *whose, const char *san,
                              bool is_uri, enum certificate_usage usage, enum audit_counter *cause,
                              struct reason *why)
{
    if (check_name(certificate, whose, san, is_uri, why) != RESULT_OK) {
        return refuse(cause, AUDIT_REFUSED_NAME);
    }
    if (check_usage(certificate, whose, usage, why) != RESULT_OK) {
        return refuse(cause, AUDIT_REFUSED_CHAIN);
    }
    return RESULT_OK;
}

void certificate_time_text(uint64_t seconds, char out[CERTIFICATE_TIME_SIZE])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&time, &tm) == NULL ||
        strftime(out, CERTIFICATE_TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        (void)snprintf(out, CERTIFICATE_TIME_SIZE, "an unknown time");
    }
}

/* A relative name's only attribute, where it is a common name of characters that can be shown. */
static bool common_name_take(struct bytes attributes, char out[CERTIFICATE_NAME_SIZE])
{
    struct element attribute;
    struct element oid;
    struct element value;
    if (der_expect(&attributes, DER_SEQUENCE, &attribute) != RESULT_OK ||
        der_expect(&attribute.content, DER_OID, &oid) != RESULT_OK ||
        der_next(&attribute.content, &value) != RESULT_OK ||
        !bytes_equal(oid.content, BYTES_OF(oid_common_name)) ||
        value.content.length >= CERTIFICATE_NAME_SIZE) {
        return false;
    }
    for (size_t i = 0; i < value.content.length; i++) {
        if (value.content.data[i] < ' ' || value.content.data[i] > '~') {
            return false;
        }
    }
    memcpy(out, value.content.data, value.content.length);
    out[value.content.length] = '\0';
    return true;
}

void certificate_name_text(struct bytes name, char out[CERTIFICATE_NAME_SIZE])
{
    struct element list;
    struct element relative;
    (void)snprintf(out, CERTIFICATE_NAME_SIZE, "?");
    if (der_expect(&name, DER_SEQUENCE, &list) != RESULT_OK) {
        return;
    }
    while (der_expect(&list.content, DER_SET, &relative) == RESULT_OK) {
        if (common_name_take(relative.content, out)) {
            return;
        }
    }
}

/* CRLNumber ::= INTEGER, not negative, in the fewest bytes. */
static enum result read_number(struct bytes value, struct revocation_list *out)
{
    struct element number;
    GUARD(der_expect(&value, DER_INTEGER, &number));
    struct bytes bytes = number.content;
    bool padded = bytes.length > 1 && bytes.data[0] == 0 && bytes.data[1] < 0x80;
    if (value.length != 0 || bytes.length == 0 || bytes.data[0] >= 0x80 || padded) {
        return RESULT_INVALID;
    }
    if (bytes.data[0] == 0) {
        bytes = (struct bytes){bytes.data + 1, bytes.length - 1};
    }
    if (bytes.length > REVOCATION_NUMBER_LIMIT) {
        return RESULT_INVALID;
    }
    out->number = bytes;
    out->has_number = true;
    return RESULT_OK;
}

static enum result read_list_extension(struct bytes rest, struct revocation_list *out)
{
    struct element oid;
    struct element value;
    bool critical = false;
    GUARD(der_expect(&rest, DER_OID, &oid));
    if (der_is(rest, DER_BOOLEAN)) {
        GUARD(der_next(&rest, &value));
        critical = value.content.length != 1 || value.content.data[0] != 0;
    }
    GUARD(der_expect(&rest, DER_OCTET_STRING, &value));
    if (bytes_equal(oid.content, BYTES_OF(oid_list_number))) {
        return out->has_number ? RESULT_INVALID : read_number(value.content, out);
    }
    out->is_partial = out->is_partial || critical;
    return RESULT_OK;
}

static enum result read_list_extensions(struct bytes rest, struct revocation_list *out)
{
    struct element element;
    struct element list;
    if (rest.length == 0) {
        return RESULT_OK;
    }
    GUARD(der_expect(&rest, DER_VERSION, &element)); /* the tag [0] */
    GUARD(der_expect(&element.content, DER_SEQUENCE, &list));
    if (rest.length != 0 || element.content.length != 0) {
        return RESULT_INVALID;
    }
    while (list.content.length > 0) {
        GUARD(der_expect(&list.content, DER_SEQUENCE, &element));
        GUARD(read_list_extension(element.content, out));
    }
    return RESULT_OK;
}

enum result revocation_list_parse(struct bytes der, struct revocation_list *out)
{
    memset(out, 0, sizeof(*out));
    out->next_update = UINT64_MAX;
    struct bytes rest;
    struct element element;
    GUARD(read_body(der, &rest));
    if (der_is(rest, DER_INTEGER)) {
        GUARD(der_next(&rest, &element)); /* version */
    }
    GUARD(der_expect(&rest, DER_SEQUENCE, &element)); /* algorithm */
    GUARD(der_expect(&rest, DER_SEQUENCE, &element));
    out->issuer = element.whole;
    GUARD(der_time(&rest, &out->this_update));
    if (der_is(rest, DER_UTC_TIME) || der_is(rest, DER_GENERALIZED_TIME)) {
        GUARD(der_time(&rest, &out->next_update));
    }
    out->revoked = (struct bytes){NULL, 0};
    if (der_is(rest, DER_SEQUENCE)) {
        GUARD(der_next(&rest, &element));
        out->revoked = element.content;
    }
    return read_list_extensions(rest, out);
}

enum result revocation_list_next(struct bytes *rest, struct bytes *der)
{
    struct element element;
    if (rest->length == 0) {
        return RESULT_UNKNOWN;
    }
    GUARD(der_expect(rest, DER_SEQUENCE, &element));
    *der = element.whole;
    return RESULT_OK;
}

int revocation_list_compare(const struct revocation_list *a, const struct revocation_list *b)
{
    if (a->number.length != b->number.length) {
        return a->number.length < b->number.length ? -1 : 1;
    }
    return a->number.length == 0 ? 0 : memcmp(a->number.data, b->number.data, a->number.length);
}

enum result revocation_serial_next(struct bytes *rest, struct bytes *serial)
{
    struct element entry;
    struct element number;
    if (rest->length == 0) {
        return RESULT_UNKNOWN;
    }
    GUARD(der_expect(rest, DER_SEQUENCE, &entry));
    GUARD(der_expect(&entry.content, DER_INTEGER, &number));
    *serial = number.content;
    return RESULT_OK;
}

bool revocation_list_names(const struct revocation_list *list, const struct certificate *certificate)
{
    if (!bytes_equal(list->issuer, certificate->issuer)) {
        return false;
    }
    struct bytes rest = list->revoked;
    struct bytes serial;
    enum result result;
    while ((result = revocation_serial_next(&rest, &serial)) == RESULT_OK) {
        if (bytes_equal(serial, certificate->serial)) {
            return true;
        }
    }
    /* An entry that cannot be read may be the one: the list has been verified, so this is a CA's error. */
    return result != RESULT_UNKNOWN;
}

enum result pem_next(struct bytes *rest, const char *kind, struct buffer *der)
{
    char begin[48];
    char end[48];
    (void)snprintf(begin, sizeof(begin), "-----BEGIN %s-----", kind);
    (void)snprintf(end, sizeof(end), "-----END %s-----", kind);
    buffer_clear(der);
    if (rest->length == 0) {
        return RESULT_UNKNOWN;
    }
    const uint8_t *start = memmem(rest->data, rest->length, begin, strlen(begin));
    if (start == NULL) {
        return RESULT_UNKNOWN;
    }
    start += strlen(begin);
    size_t left = (size_t)(rest->data + rest->length - start);
    const uint8_t *stop = memmem(start, left, end, strlen(end));
    if (stop == NULL) {
        return RESULT_INVALID;
    }
    *rest = (struct bytes){stop + strlen(end), left - (size_t)(stop - start) - strlen(end)};

    size_t size = (size_t)(stop - start);
    uint8_t *decoded = malloc(size + 1);
    if (decoded == NULL) {
        return RESULT_INTERNAL;
    }
    word32 length = (word32)size;
    enum result result = RESULT_INVALID;
    if (size <= UINT32_MAX && Base64_Decode(start, (word32)size, decoded, &length) == 0) {
        result = buffer_append(der, (struct bytes){decoded, length});
    }
    free(decoded);
    return result;
}
