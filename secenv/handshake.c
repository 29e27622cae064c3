/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secenv/crypto/kdf.h"
#include "secenv/log.h"

#define EXPORTER_LABEL "EXPORTER-oneM2M-ESCertKE"
#define EXPORTED_SIZE (ASSOCIATION_ID_SIZE + SECRET_SIZE)
#define FLIGHT_LIMIT ((size_t)40 * 1024)

enum step { STEP_DONE, STEP_MORE, STEP_FAILED };

static void end(struct handshake *handshake)
{
    wolfSSL_free(handshake->ssl);
    handshake->ssl = NULL;
    handshake->input = (struct bytes){NULL, 0};
    handshake->output = NULL;
    secret_wipe(&handshake->psk);
    wolfSSL_ERR_clear_error();
}

void handshake_free(struct handshake *handshake)
{
    if (handshake == NULL) {
        return;
    }
    end(handshake);
    free(handshake);
}

/* Gives wolfSSL a flight; what it answers is in `output`. Nothing may be left over. */
static enum step step(struct handshake *handshake, struct bytes input, struct buffer *output, int *error)
{
    handshake->input = input;
    handshake->output = output;
    handshake_set_time(handshake_now(handshake->context));
    int done = handshake->is_server ? wolfSSL_accept(handshake->ssl) : wolfSSL_connect(handshake->ssl);
    handshake->output = NULL;
    if (done == WOLFSSL_SUCCESS && handshake->input.length == 0) {
        return STEP_DONE;
    }
    *error = done == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(handshake->ssl, done);
    return *error == WOLFSSL_ERROR_WANT_READ ? STEP_MORE : STEP_FAILED;
}

static enum result prepare(struct handshake *handshake)
{
    struct handshake_context *context = handshake->context;
    handshake->ssl = wolfSSL_new(handshake->mode == CREDENTIALS_PSK ? context->psk : context->certificate);
    if (handshake->ssl == NULL) {
        return RESULT_INTERNAL;
    }
    wolfSSL_SetIOReadCtx(handshake->ssl, handshake);
    wolfSSL_SetIOWriteCtx(handshake->ssl, handshake);
    wolfSSL_KeepArrays(handshake->ssl);
    (void)wolfSSL_set_psk_callback_ctx(handshake->ssl, handshake);
    char mechanisms[] = MECHANISM_WRAP;
    int alpn =
        wolfSSL_UseALPN(handshake->ssl, mechanisms, sizeof(mechanisms) - 1, WOLFSSL_ALPN_FAILED_ON_MISMATCH);
    return alpn == WOLFSSL_SUCCESS ? RESULT_OK : RESULT_INTERNAL;
}

static enum result check_anchor(const struct handshake *handshake, struct reason *why)
{
    struct bytes der;
    struct certificate top;
    if (!handshake_peer_top(handshake, &der) || certificate_parse(der, &top) != RESULT_OK) {
        return result_fail(why, RESULT_REFUSED, "chain of %s cannot be read", handshake->peer);
    }
    return handshake_anchor_check(handshake->context, top.issuer, why);
}

/* The certificate was verified by wolfSSL; here: that there is one, whose it is, what it is for, and
 * the CRLs once more, which wolfSSL did not ask where one is overdue. */
static enum result check_certificate(const struct handshake *handshake, uint8_t mark[CERTIFICATE_MARK_SIZE],
                                     enum audit_counter *cause, struct reason *why)
{
    struct bytes der;
    struct certificate certificate;
    *cause = AUDIT_REFUSED_CHAIN;
    if (!handshake_peer_certificate(handshake, &der)) {
        return result_fail(why, RESULT_REFUSED, "certificate of %s was not shown", handshake->peer);
    }
    if (certificate_parse(der, &certificate) != RESULT_OK) {
        return result_fail(why, RESULT_REFUSED, "certificate of %s cannot be read", handshake->peer);
    }
    GUARD(certificate_check(&certificate, handshake->peer, handshake->peer_san, handshake->peer_san_is_uri,
                            handshake->is_server ? CERTIFICATE_CLIENT : CERTIFICATE_SERVER, cause, why));
    *cause = AUDIT_REFUSED_CHAIN;
    const struct handshake_context *context = handshake->context;
    GUARD(check_anchor(handshake, why));
    for (size_t i = 0; i < context->list_count; i++) {
        if (revocation_list_names(&context->lists[i], &certificate)) {
            return result_fail(why, RESULT_REFUSED, "certificate of %s is revoked", handshake->peer);
        }
    }
    return certificate_mark(certificate.issuer, certificate.serial, mark);
}

static enum result check_mechanism(struct handshake *handshake, enum audit_counter *cause, struct reason *why)
{
    char *name = NULL;
    unsigned short length = 0;
    if (wolfSSL_ALPN_GetProtocol(handshake->ssl, &name, &length) == WOLFSSL_SUCCESS && name != NULL &&
        bytes_equal((struct bytes){(const uint8_t *)name, length}, bytes_of_text(MECHANISM_WRAP))) {
        return RESULT_OK;
    }
    *cause = AUDIT_REFUSED_MECHANISM;
    return result_fail(why, RESULT_REFUSED, "no mechanism was agreed with %s, must be %s", handshake->peer,
                       MECHANISM_WRAP);
}

static enum result export_agreement(struct handshake *handshake, struct agreement *out, struct reason *why)
{
    uint8_t exported[EXPORTED_SIZE];
    if (wolfSSL_export_keying_material(handshake->ssl, exported, sizeof(exported), EXPORTER_LABEL,
                                       strlen(EXPORTER_LABEL), NULL, 0, 0) != WOLFSSL_SUCCESS) {
        return result_fail(why, RESULT_INTERNAL, "wolfSSL cannot export the keys agreed with %s",
                           handshake->peer);
    }
    memset(out, 0, sizeof(*out));
    memcpy(out->id, exported, ASSOCIATION_ID_SIZE);
    memcpy(out->key.data, exported + ASSOCIATION_ID_SIZE, SECRET_SIZE);
    secret_wipe_bytes(exported, sizeof(exported));
    secret_note("association", out->key.data, SECRET_SIZE);
    out->mode = handshake->mode;
    (void)snprintf(out->mechanism, sizeof(out->mechanism), "%s", MECHANISM_WRAP);
    return RESULT_OK;
}

/* After Finished, and only then: who it is, what was agreed, and the keys. */
static enum result conclude(struct handshake *handshake, struct agreement *out, enum audit_counter *cause,
                            struct reason *why)
{
    *cause = AUDIT_REFUSED_HELLO;
    if (!wolfSSL_is_init_finished(handshake->ssl)) {
        return result_fail(why, RESULT_REFUSED, "handshake with %s is not finished", handshake->peer);
    }
    uint8_t mark[CERTIFICATE_MARK_SIZE] = {0};
    if (handshake->mode == CREDENTIALS_CERT) {
        GUARD(check_certificate(handshake, mark, cause, why));
    }
    GUARD(check_mechanism(handshake, cause, why));
    GUARD(export_agreement(handshake, out, why));
    memcpy(out->certificate, mark, sizeof(mark));
    return RESULT_OK;
}

/*
 * No CRL, or one that is overdue, is an alarm or a refusal, as the identity was provisioned. A device goes on
 * by default: cut off from its authority it could get no newer one. Serials that an overdue one names stay
 * refused (check_certificate).
 */
static enum result ask_lists(const struct handshake *handshake, struct reason *why)
{
    struct handshake_context *context = handshake->context;
    const struct revocation_list *overdue = handshake_overdue_list(context);
    char what[128] = "no CRL is here";
    if (context->list_count > 0 && overdue == NULL) {
        (void)wolfSSL_CTX_EnableCRL(context->certificate, WOLFSSL_CRL_CHECK);
        return RESULT_OK;
    }
    if (overdue != NULL) {
        char when[CERTIFICATE_TIME_SIZE];
        char here[CERTIFICATE_TIME_SIZE];
        certificate_time_text(overdue->next_update, when);
        certificate_time_text(handshake_now(context), here);
        (void)snprintf(what, sizeof(what), "the CRL is overdue since %s and the time here is %s", when, here);
    }
    if (context->refuses_unrevoked) {
        return result_fail(
            why, RESULT_REFUSED,
            "%s, so the certificate of %s cannot be taken: give %s the CA's newest list, or check its "
            "clock",
            what, handshake->peer, context->name);
    }
    log_line(LOG_LEVEL_ALARM, "%s: %s: nobody knows whether the certificate of %s is revoked", context->name,
             what, handshake->peer);
    (void)wolfSSL_CTX_DisableCRL(context->certificate);
    return RESULT_OK;
}

static enum result last_flight(struct handshake *handshake, struct bytes input, struct buffer *output,
                               struct agreement *out, enum audit_counter *cause, struct reason *why)
{
    int error = 0;
    *cause = AUDIT_REFUSED_HELLO;
    if (handshake->ssl == NULL) {
        return result_fail(why, RESULT_INVALID, "handshake with %s has ended", handshake->peer);
    }
    if (input.length > FLIGHT_LIMIT) {
        return result_fail(why, RESULT_INVALID, "flight of %s has %zu bytes, at most %zu are taken",
                           handshake->peer, input.length, FLIGHT_LIMIT);
    }
    if (handshake->mode == CREDENTIALS_CERT) {
        enum result asked = ask_lists(handshake, why);
        *cause = asked == RESULT_OK ? *cause : AUDIT_REFUSED_CHAIN;
        GUARD(asked);
    }
    enum step step_result = step(handshake, input, output, &error);
    if (step_result == STEP_DONE) {
        return conclude(handshake, out, cause, why);
    }
    return handshake_refuse(handshake, error, cause, why);
}

/* ---- client: the member ---- */

static enum result client_open(struct handshake_context *context, struct buffer *flight1,
                               struct handshake *handshake, struct reason *why)
{
    handshake->context = context;
    handshake->mode = context->mode;
    memcpy(handshake->peer, context->authority, sizeof(handshake->peer));
    memcpy(handshake->peer_san, context->authority_san, sizeof(handshake->peer_san));
    memcpy(handshake->psk_identity, context->psk_identity, sizeof(handshake->psk_identity));
    handshake->psk = context->psk_key;
    int error = 0;
    if (prepare(handshake) != RESULT_OK ||
        step(handshake, (struct bytes){NULL, 0}, flight1, &error) != STEP_MORE) {
        return result_fail(why, RESULT_INTERNAL, "wolfSSL cannot begin a handshake with %s (%d)",
                           handshake->peer, error);
    }
    return RESULT_OK;
}

enum result handshake_client_start(struct handshake_context *context, struct handshake **out,
                                   struct buffer *flight1, uint8_t hello_hash[32], struct reason *why)
{
    if (context->is_authority) {
        return result_fail(why, RESULT_INVALID, "%s is an authority: members begin handshakes",
                           context->name);
    }
    struct handshake *handshake = calloc(1, sizeof(*handshake));
    if (handshake == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a handshake");
    }
    enum result result = client_open(context, flight1, handshake, why);
    if (result == RESULT_OK) {
        result = hash_bytes(buffer_bytes(flight1), hello_hash);
    }
    if (result != RESULT_OK) {
        buffer_clear(flight1);
        handshake_free(handshake);
        return result;
    }
    *out = handshake;
    return RESULT_OK;
}

enum result handshake_client_finish(struct handshake *handshake, struct bytes flight2, struct buffer *flight3,
                                    struct agreement *out, enum audit_counter *cause, struct reason *why)
{
    bool psk = handshake->mode == CREDENTIALS_PSK;
    *cause = psk ? AUDIT_REFUSED_PSK : AUDIT_REFUSED_HELLO;
    enum result result = server_hello_check(flight2, psk, why);
    if (result == RESULT_OK) {
        result = last_flight(handshake, flight2, flight3, out, cause, why);
    }
    if (result != RESULT_OK) {
        buffer_clear(flight3); /* an alert, or a flight for a peer that was refused */
    }
    end(handshake);
    return result;
}

/* ---- server: the authority ---- */

static enum result hello_refused(const struct expected_peer *peer, const struct hello *hello,
                                 enum audit_counter *cause, struct reason *why)
{
    if (peer->mode == CREDENTIALS_CERT && hello->has_psk) {
        return result_fail(
            why, RESULT_REFUSED,
            "%s offers a pre-shared key, but the roster says certificate: provision one of the "
            "two anew",
            peer->name);
    }
    if (peer->mode == CREDENTIALS_PSK && !hello->has_psk) {
        return result_fail(
            why, RESULT_REFUSED,
            "%s offers no pre-shared key, but the roster says PSK: provision one of the two anew",
            peer->name);
    }
    if (peer->mode == CREDENTIALS_PSK &&
        (hello->psk_identities != 1 || strcmp(hello->psk_identity, peer->psk_identity) != 0)) {
        *cause = AUDIT_REFUSED_UNKNOWN;
        return result_fail(why, RESULT_REFUSED, "PSK identity that %s offers is not the one in the roster",
                           peer->name);
    }
    return RESULT_OK;
}

static enum result read_hello(const struct expected_peer *peer, struct bytes flight1,
                              enum audit_counter *cause, struct reason *why)
{
    struct hello hello;
    *cause = AUDIT_REFUSED_HELLO;
    enum result result = hello_parse(flight1, &hello, why);
    if (result == RESULT_OK) {
        return hello_refused(peer, &hello, cause, why);
    }
    bool only_mechanism = result == RESULT_REFUSED && hello.offers_tls13 && hello.has_key_share &&
                          !hello.has_early_data && !hello.has_alpn;
    *cause = only_mechanism ? AUDIT_REFUSED_MECHANISM : AUDIT_REFUSED_HELLO;
    return result;
}

static enum result expect_peer(struct handshake *handshake, const struct expected_peer *peer,
                               struct reason *why)
{
    handshake->is_server = true;
    handshake->mode = peer->mode;
    (void)snprintf(handshake->peer, sizeof(handshake->peer), "%s", peer->name);
    if (peer->mode == CREDENTIALS_PSK) {
        (void)snprintf(handshake->psk_identity, sizeof(handshake->psk_identity), "%s", peer->psk_identity);
        handshake->psk = *peer->psk;
        return RESULT_OK;
    }
    if (identity_san(peer->name, peer->kind, handshake->context->name, handshake->peer_san,
                     sizeof(handshake->peer_san), &handshake->peer_san_is_uri) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID, "%s has no name in certificates", peer->name);
    }
    return RESULT_OK;
}

static enum result server_open(struct handshake *handshake, const struct expected_peer *peer,
                               struct bytes flight1, struct buffer *flight2, enum audit_counter *cause,
                               struct reason *why)
{
    GUARD(read_hello(peer, flight1, cause, why));
    GUARD(expect_peer(handshake, peer, why));
    if (prepare(handshake) != RESULT_OK) {
        return result_fail(why, RESULT_INTERNAL, "wolfSSL cannot begin a handshake with %s", peer->name);
    }
    int error = 0;
    if (step(handshake, flight1, flight2, &error) != STEP_MORE || handshake->input.length != 0) {
        return handshake_refuse(handshake, error, cause, why);
    }
    /* That the pre-shared key and a key share were really taken is read from our own answer. */
    *cause = peer->mode == CREDENTIALS_PSK ? AUDIT_REFUSED_PSK : AUDIT_REFUSED_HELLO;
    return server_hello_check(buffer_bytes(flight2), peer->mode == CREDENTIALS_PSK, why);
}

enum result handshake_server_start(struct handshake_context *context, const struct expected_peer *peer,
                                   struct bytes flight1, struct handshake **out, struct buffer *flight2,
                                   uint8_t hello_hash[32], enum audit_counter *cause, struct reason *why)
{
    *cause = AUDIT_REFUSED_HELLO;
    if (!context->is_authority) {
        return result_fail(why, RESULT_INVALID, "%s is a member: only the authority answers handshakes",
                           context->name);
    }
    struct handshake *handshake = calloc(1, sizeof(*handshake));
    if (handshake == NULL) {
        return result_fail(why, RESULT_INTERNAL, "no memory for a handshake");
    }
    handshake->context = context;
    enum result result = server_open(handshake, peer, flight1, flight2, cause, why);
    if (result == RESULT_OK) {
        result = hash_bytes(flight1, hello_hash);
    }
    if (result != RESULT_OK) {
        buffer_clear(flight2);
        handshake_free(handshake);
        return result;
    }
    *out = handshake;
    return RESULT_OK;
}

enum result handshake_server_finish(struct handshake *handshake, struct bytes flight3, struct agreement *out,
                                    enum audit_counter *cause, struct reason *why)
{
    struct buffer alerts = BUFFER_EMPTY(FLIGHT_LIMIT);
    enum result result = last_flight(handshake, flight3, &alerts, out, cause, why);
    if (result == RESULT_OK && alerts.length != 0) {
        *cause = AUDIT_REFUSED_HELLO;
        secret_wipe(&out->key);
        result = result_fail(why, RESULT_REFUSED, "handshake with %s goes on after its last flight",
                             handshake->peer);
    }
    buffer_clear(&alerts);
    end(handshake);
    return result;
}
