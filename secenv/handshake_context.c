/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/wolfcrypt/asn_public.h>

#include "secenv/crypto/secret.h"

#define CIPHER_SUITE "TLS13-CHACHA20-POLY1305-SHA256"
#define CERTIFICATE_LIMIT ((size_t)64 * 1024)
#define REVOCATION_LIST_LIMIT ((size_t)4 * 1024 * 1024)

static uint64_t verification_time; /* seconds since 1970; 0: the system's */

static time_t tell_time(time_t *out)
{
    time_t now = verification_time != 0 ? (time_t)verification_time : time(NULL);
    if (out != NULL) {
        *out = now;
    }
    return now;
}

void handshake_set_time(uint64_t seconds)
{
    verification_time = seconds;
    (void)wc_SetTimeCb(tell_time);
}

uint64_t handshake_now(const struct handshake_context *context)
{
    uint64_t now = clock_wall_us(context->clock) / 1000000u;
    return now > context->not_before ? now : context->not_before;
}

void handshake_context_not_before(struct handshake_context *context, uint64_t wall_ms)
{
    uint64_t seconds = wall_ms / 1000u;
    context->not_before = seconds > GROUPSEAL_BUILD_TIME ? seconds : GROUPSEAL_BUILD_TIME;
}

const struct revocation_list *handshake_overdue_list(const struct handshake_context *context)
{
    uint64_t now = handshake_now(context);
    for (size_t i = 0; i < context->list_count; i++) {
        if (context->lists[i].next_update < now) {
            return &context->lists[i];
        }
    }
    return NULL;
}

static int receive(WOLFSSL *ssl, char *out, int size, void *context)
{
    (void)ssl;
    struct handshake *handshake = context;
    size_t length = handshake->input.length < (size_t)size ? handshake->input.length : (size_t)size;
    if (length == 0) {
        return WOLFSSL_CBIO_ERR_WANT_READ;
    }
    memcpy(out, handshake->input.data, length);
    handshake->input.data += length;
    handshake->input.length -= length;
    return (int)length;
}

static int send_out(WOLFSSL *ssl, char *data, int size, void *context)
{
    (void)ssl;
    struct handshake *handshake = context;
    struct bytes bytes = {(const uint8_t *)data, (size_t)size};
    if (handshake->output == NULL || buffer_append(handshake->output, bytes) != RESULT_OK) {
        return WOLFSSL_CBIO_ERR_GENERAL;
    }
    return size;
}

/* wolfSSL would fetch a missing CRL from the network: secenv has none. */
static int fetch_nothing(WOLFSSL_CRL *crl, const char *url, int length)
{
    (void)crl;
    (void)url;
    (void)length;
    return -1;
}

static unsigned int client_psk(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_max,
                               unsigned char *key, unsigned int key_max, const char **suite)
{
    (void)hint;
    const struct handshake *handshake = wolfSSL_get_psk_callback_ctx(ssl);
    size_t length = strlen(handshake->psk_identity);
    if (length >= identity_max || key_max < SECRET_SIZE) {
        return 0;
    }
    memcpy(identity, handshake->psk_identity, length + 1);
    memcpy(key, handshake->psk.data, SECRET_SIZE);
    *suite = CIPHER_SUITE;
    return SECRET_SIZE;
}

static unsigned int server_psk(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned int key_max,
                               const char **suite)
{
    const struct handshake *handshake = wolfSSL_get_psk_callback_ctx(ssl);
    if (key_max < SECRET_SIZE || strcmp(identity, handshake->psk_identity) != 0) {
        return 0;
    }
    memcpy(key, handshake->psk.data, SECRET_SIZE);
    *suite = CIPHER_SUITE;
    return SECRET_SIZE;
}

/* What both modes and both ends have in common. */
static WOLFSSL_CTX *make_context(bool is_server)
{
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(is_server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
    if (ctx == NULL) {
        return NULL;
    }
    int groups[] = {WOLFSSL_ECC_X25519};
    bool good = wolfSSL_CTX_set_cipher_list(ctx, CIPHER_SUITE) == WOLFSSL_SUCCESS &&
                wolfSSL_CTX_set_groups(ctx, groups, 1) == WOLFSSL_SUCCESS &&
                wolfSSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256") == WOLFSSL_SUCCESS &&
                (!is_server || wolfSSL_CTX_no_ticket_TLSv13(ctx) == 0);
    if (!good) {
        wolfSSL_CTX_free(ctx);
        return NULL;
    }
    /* The cache would keep secrets of handshakes that have ended. */
    (void)wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    wolfSSL_CTX_SetIORecv(ctx, receive);
    wolfSSL_CTX_SetIOSend(ctx, send_out);
    return ctx;
}

static enum result list_read(const struct handshake_context *context, struct bytes der,
                             struct revocation_list *out, struct reason *why)
{
    if (revocation_list_parse(der, out) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "a CRL of %s cannot be read", context->name);
    }
    return out->is_partial
               ? result_fail(
                     why, RESULT_REFUSED,
                     "a CRL of %s has a critical extension that is not known here: give the whole list, not "
                     "a delta or a part",
                     context->name)
               : RESULT_OK;
}

static enum result load_list(struct handshake_context *context, struct buffer *der, struct reason *why)
{
    if (context->list_count == REVOCATION_LISTS_LIMIT) {
        return result_fail(why, RESULT_FULL, "more than %u CRLs", REVOCATION_LISTS_LIMIT);
    }
    struct revocation_list *list = &context->lists[context->list_count];
    GUARD(list_read(context, buffer_bytes(der), list, why));
    /* Whether it is overdue is asked at each handshake; here its signature counts. */
    handshake_set_time(list->this_update);
    int loaded =
        wolfSSL_CTX_LoadCRLBuffer(context->certificate, der->data, (long)der->length, WOLFSSL_FILETYPE_ASN1);
    handshake_set_time(handshake_now(context));
    if (loaded != WOLFSSL_SUCCESS) {
        return result_fail(why, RESULT_INVALID,
                           "a CRL of %s is not signed by its trust anchor (wolfSSL %d): provision the CRL of "
                           "the end-to-end CA",
                           context->name, loaded);
    }
    context->list_der[context->list_count++] = *der;
    *der = BUFFER_EMPTY(REVOCATION_LIST_LIMIT);
    return RESULT_OK;
}

static enum result lists_enable(struct handshake_context *context, struct reason *why)
{
    bool good = wolfSSL_CTX_EnableCRL(context->certificate, WOLFSSL_CRL_CHECK) == WOLFSSL_SUCCESS &&
                wolfSSL_CTX_SetCRL_IOCb(context->certificate, fetch_nothing) == WOLFSSL_SUCCESS;
    return good ? RESULT_OK : result_fail(why, RESULT_INTERNAL, "wolfSSL cannot check CRLs");
}

static enum result load_lists(struct handshake_context *context, struct bytes crl, struct reason *why)
{
    if (crl.length == 0) {
        return RESULT_OK;
    }
    GUARD(lists_enable(context, why));
    struct buffer der = BUFFER_EMPTY(REVOCATION_LIST_LIMIT);
    enum result result = RESULT_OK;
    while (result == RESULT_OK) {
        result = pem_next(&crl, "X509 CRL", &der);
        if (result == RESULT_OK) {
            result = load_list(context, &der, why);
        } else if (result != RESULT_UNKNOWN) {
            result = result_fail(why, result, "a CRL of %s is not PEM", context->name);
        }
    }
    buffer_clear(&der);
    if (result == RESULT_UNKNOWN && context->list_count == 0) {
        return result_fail(why, RESULT_INVALID, "the CRL of %s has no PEM block \"X509 CRL\"", context->name);
    }
    return result == RESULT_UNKNOWN ? RESULT_OK : result;
}

/* At a time at which it is valid: whether it is now, each handshake asks. */
static bool load_anchor(struct handshake_context *context, const struct buffer *der)
{
    struct certificate anchor;
    /* wolfSSL would take any certificate as an anchor. */
    if (certificate_parse(buffer_bytes(der), &anchor) != RESULT_OK || !anchor.is_ca) {
        return false;
    }
    handshake_set_time(anchor.not_before);
    return wolfSSL_CTX_load_verify_buffer(context->certificate, der->data, (long)der->length,
                                          WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
}

static enum result load_anchors(struct handshake_context *context, struct bytes pem, struct reason *why)
{
    enum result result = RESULT_OK;
    while (result == RESULT_OK && context->anchor_count < ANCHORS_LIMIT) {
        struct buffer *der = &context->anchors[context->anchor_count];
        *der = BUFFER_EMPTY(CERTIFICATE_LIMIT);
        result = pem_next(&pem, "CERTIFICATE", der);
        if (result == RESULT_OK) {
            result = load_anchor(context, der) ? RESULT_OK : RESULT_INVALID;
            context->anchor_count++;
        }
    }
    handshake_set_time(handshake_now(context));
    if (result != RESULT_UNKNOWN || context->anchor_count == 0) {
        return result_fail(
            why, RESULT_INVALID,
            "the trust anchor of %s cannot be loaded: provision the end-to-end CA's certificate "
            "(PEM, at most %u)",
            context->name, ANCHORS_LIMIT - 1);
    }
    return RESULT_OK;
}

enum result handshake_anchor_check(const struct handshake_context *context, struct bytes issuer,
                                   struct reason *why)
{
    uint64_t now = handshake_now(context);
    bool expired = false;
    char when[CERTIFICATE_TIME_SIZE] = "";
    for (size_t i = 0; i < context->anchor_count; i++) {
        struct certificate anchor;
        if (certificate_parse(buffer_bytes(&context->anchors[i]), &anchor) != RESULT_OK ||
            !bytes_equal(anchor.subject, issuer)) {
            continue;
        }
        expired = anchor.not_after < now;
        if (!expired && anchor.not_before <= now) {
            return RESULT_OK;
        }
        certificate_time_text(expired ? anchor.not_after : anchor.not_before, when);
    }
    if (when[0] == '\0') {
        return result_fail(why, RESULT_REFUSED, "no trust anchor has the name of the chain's issuer");
    }
    return result_fail(why, RESULT_REFUSED, "the end-to-end CA %s %s: check this machine's clock, or the CA",
                       expired ? "expired on" : "is not valid before", when);
}

static enum result certificate_context(struct handshake_context *context, const struct identity *identity,
                                       struct reason *why)
{
    context->certificate = make_context(context->is_authority);
    if (context->certificate == NULL) {
        return result_fail(why, RESULT_INTERNAL, "wolfSSL cannot make a TLS 1.3 context");
    }
    GUARD(load_anchors(context, buffer_bytes(&identity->trust_anchors), why));
    if (wolfSSL_CTX_use_certificate_chain_buffer(context->certificate, identity->chain.data,
                                                 (long)identity->chain.length) != WOLFSSL_SUCCESS) {
        return result_fail(why, RESULT_INVALID, "the certificate of %s cannot be loaded (PEM expected)",
                           identity->name);
    }
    if (wolfSSL_CTX_use_PrivateKey_buffer(context->certificate, identity->private_key.data,
                                          (long)identity->private_key.length,
                                          WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
        return result_fail(why, RESULT_INVALID, "the private key of %s cannot be loaded (PEM expected)",
                           identity->name);
    }
    return load_lists(context, buffer_bytes(&identity->crl), why);
}

static enum result psk_context(struct handshake_context *context, struct reason *why)
{
    context->psk = make_context(context->is_authority);
    if (context->psk == NULL) {
        return result_fail(why, RESULT_INTERNAL, "wolfSSL cannot make a TLS 1.3 context");
    }
    if (context->is_authority) {
        wolfSSL_CTX_set_psk_server_tls13_callback(context->psk, server_psk);
    } else {
        wolfSSL_CTX_set_psk_client_tls13_callback(context->psk, client_psk);
    }
    return RESULT_OK;
}

static enum result fill_context(struct handshake_context *context, const struct identity *identity,
                                struct reason *why)
{
    if (context->is_authority) {
        GUARD(certificate_context(context, identity, why));
        return psk_context(context, why);
    }
    memcpy(context->authority, identity->authority, sizeof(context->authority));
    memcpy(context->authority_san, identity->authority_san, sizeof(context->authority_san));
    if (identity->mode == CREDENTIALS_CERT) {
        return certificate_context(context, identity, why);
    }
    context->psk_key = identity->psk;
    memcpy(context->psk_identity, identity->psk_identity, sizeof(context->psk_identity));
    return psk_context(context, why);
}

enum result handshake_context_new(const struct identity *identity, const struct clock_source *clock,
                                  struct handshake_context **out, struct reason *why)
{
    static bool started;
    if (!started && wolfSSL_Init() != WOLFSSL_SUCCESS) {
        return result_fail(why, RESULT_INTERNAL, "wolfSSL cannot be started");
    }
    started = true;
    struct handshake_context *context = calloc(1, sizeof(*context));
    if (context == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for the TLS context of %s", identity->name);
    }
    context->clock = clock;
    context->not_before = GROUPSEAL_BUILD_TIME;
    context->is_authority = identity->kind == IDENTITY_IN_CSE;
    context->refuses_unrevoked = identity->unrevoked == UNREVOKED_REFUSE ||
                                 (identity->unrevoked == UNREVOKED_DEFAULT && context->is_authority);
    context->mode = identity->mode;
    memcpy(context->name, identity->name, sizeof(context->name));
    enum result result = fill_context(context, identity, why);
    if (result != RESULT_OK) {
        handshake_context_free(context);
        return result;
    }
    *out = context;
    return RESULT_OK;
}

void handshake_context_free(struct handshake_context *context)
{
    if (context == NULL) {
        return;
    }
    wolfSSL_CTX_free(context->certificate);
    wolfSSL_CTX_free(context->psk);
    for (size_t i = 0; i < ANCHORS_LIMIT; i++) {
        buffer_clear(&context->anchors[i]);
    }
    for (size_t i = 0; i < context->list_count; i++) {
        buffer_clear(&context->list_der[i]);
    }
    secret_wipe(&context->psk_key);
    free(context);
}

/* ---- lists that come later ---- */

size_t handshake_context_list_count(const struct handshake_context *context)
{
    return context->list_count;
}

struct bytes handshake_context_list(const struct handshake_context *context, size_t index,
                                    struct revocation_list *out)
{
    *out = context->lists[index];
    return buffer_bytes(&context->list_der[index]);
}

bool handshake_context_refuses_unrevoked(const struct handshake_context *context)
{
    return context->refuses_unrevoked;
}

bool handshake_context_unrevoked(const struct handshake_context *context, struct revocation_list *overdue)
{
    const struct revocation_list *list = handshake_overdue_list(context);
    if (overdue != NULL) {
        *overdue = list != NULL ? *list : (struct revocation_list){.next_update = 0};
    }
    return context->certificate != NULL && (context->list_count == 0 || list != NULL);
}

/* The place of this issuer's list, or the one behind the last. */
static size_t list_place(const struct handshake_context *context, struct bytes issuer)
{
    size_t place = 0;
    while (place < context->list_count && !bytes_equal(context->lists[place].issuer, issuer)) {
        place++;
    }
    return place;
}

/* That it may take the place of the one in use. */
static enum result list_is_news(const struct handshake_context *context, size_t place, struct bytes der,
                                const struct revocation_list *list, struct reason *why)
{
    if (!list->has_number) {
        return result_fail(why, RESULT_REFUSED,
                           "a CRL of %s has no number: nobody can tell whether it is newer", context->name);
    }
    if (place == context->list_count) {
        return RESULT_OK;
    }
    if (bytes_equal(der, buffer_bytes(&context->list_der[place]))) {
        return RESULT_EXISTS;
    }
    return revocation_list_compare(list, &context->lists[place]) > 0
               ? RESULT_OK
               : result_fail(why, RESULT_REFUSED,
                             "a CRL of %s is not newer than the one in use: its number is not higher",
                             context->name);
}

static enum result list_copy_in(struct handshake_context *next, struct bytes der, struct reason *why)
{
    struct buffer copy = BUFFER_EMPTY(REVOCATION_LIST_LIMIT);
    enum result result = buffer_append(&copy, der);
    if (result == RESULT_OK) {
        result = load_list(next, &copy, why);
    }
    buffer_clear(&copy);
    return result;
}

/* A context of the same identity with the lists of this one, but for the new one at its place. */
static enum result context_with_list(const struct handshake_context *context, const struct identity *identity,
                                     size_t place, struct bytes der, struct handshake_context **out,
                                     struct reason *why)
{
    struct identity bare = *identity;
    struct handshake_context *next = NULL;
    bare.crl = BUFFER_EMPTY(0);
    enum result result = handshake_context_new(&bare, context->clock, &next, why);
    if (next == NULL) {
        return result == RESULT_OK ? RESULT_INTERNAL : result;
    }
    result = lists_enable(next, why);
    for (size_t i = 0; result == RESULT_OK && i < context->list_count; i++) {
        result = list_copy_in(next, i == place ? der : buffer_bytes(&context->list_der[i]), why);
    }
    if (result == RESULT_OK && place == context->list_count) {
        result = list_copy_in(next, der, why);
    }
    if (result != RESULT_OK) {
        handshake_context_free(next);
        /* A list that came from outside is not at fault for want of memory. */
        return result == RESULT_INVALID ? RESULT_REFUSED : result;
    }
    *out = next;
    return RESULT_OK;
}

enum result handshake_context_list_take(struct handshake_context *context, const struct identity *identity,
                                        struct bytes der, struct reason *why)
{
    struct revocation_list list;
    struct handshake_context *next = NULL;
    if (context->certificate == NULL) {
        return result_fail(why, RESULT_REFUSED, "%s has no use for CRLs: it has a pre-shared key",
                           context->name);
    }
    GUARD(list_read(context, der, &list, why));
    size_t place = list_place(context, list.issuer);
    GUARD(list_is_news(context, place, der, &list, why));
    GUARD(context_with_list(context, identity, place, der, &next, why));
    /* What is under way keeps its TLS object, and is asked for the new lists at its end. The rest of the
     * context stays: handshakes point to it. */
    WOLFSSL_CTX *old = context->certificate;
    context->certificate = next->certificate;
    next->certificate = old;
    for (size_t i = 0; i < REVOCATION_LISTS_LIMIT; i++) {
        struct buffer gone = context->list_der[i];
        context->list_der[i] = next->list_der[i];
        context->lists[i] = next->lists[i];
        next->list_der[i] = gone;
    }
    size_t count = context->list_count;
    context->list_count = next->list_count;
    next->list_count = count;
    handshake_context_free(next);
    return RESULT_OK;
}
