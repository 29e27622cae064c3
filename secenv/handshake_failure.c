/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake_internal.h"

#include <stdio.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

static bool peer_chain(const struct handshake *handshake, bool top, struct bytes *der)
{
    WOLFSSL_X509_CHAIN *chain = wolfSSL_get_peer_chain(handshake->ssl);
    int count = chain == NULL ? 0 : wolfSSL_get_chain_count(chain);
    if (count < 1) {
        return false;
    }
    int index = top ? count - 1 : 0;
    int length = wolfSSL_get_chain_length(chain, index);
    unsigned char *data = wolfSSL_get_chain_cert(chain, index);
    if (data == NULL || length <= 0) {
        return false;
    }
    *der = (struct bytes){data, (size_t)length};
    return true;
}

bool handshake_peer_certificate(const struct handshake *handshake, struct bytes *der)
{
    return peer_chain(handshake, false, der);
}

bool handshake_peer_top(const struct handshake *handshake, struct bytes *der)
{
    return peer_chain(handshake, true, der);
}

/* Validity: which certificate it was can only be told for the peer's own. */
static enum result say_time(const struct handshake *handshake, bool expired, struct reason *why)
{
    struct bytes der;
    struct certificate certificate;
    uint64_t now = handshake_now(handshake->context);
    char when[CERTIFICATE_TIME_SIZE] = "";
    char here[CERTIFICATE_TIME_SIZE];
    certificate_time_text(now, here);
    if (handshake_peer_certificate(handshake, &der) && certificate_parse(der, &certificate) == RESULT_OK) {
        if (expired && certificate.not_after < now) {
            certificate_time_text(certificate.not_after, when);
        } else if (!expired && certificate.not_before > now) {
            certificate_time_text(certificate.not_before, when);
        }
    }
    if (when[0] == '\0') {
        return result_fail(why, RESULT_REFUSED,
                           "a CA certificate above that of %s %s; the time here is %s: check this machine's "
                           "clock, and the CA",
                           handshake->peer, expired ? "has expired" : "is not valid yet", here);
    }
    return result_fail(
        why, RESULT_REFUSED,
        "certificate of %s %s %s; the time here is %s: check this machine's clock, or renew it",
        handshake->peer, expired ? "expired on" : "is not valid before", when, here);
}

static enum result say_no_list(const struct handshake *handshake, struct reason *why)
{
    const struct revocation_list *overdue = handshake_overdue_list(handshake->context);
    if (overdue == NULL) {
        return result_fail(why, RESULT_REFUSED,
                           "no CRL covers the certificate of %s: provision the CRL of its CA",
                           handshake->peer);
    }
    char when[CERTIFICATE_TIME_SIZE];
    char here[CERTIFICATE_TIME_SIZE];
    certificate_time_text(overdue->next_update, when);
    certificate_time_text(handshake_now(handshake->context), here);
    return result_fail(
        why, RESULT_REFUSED,
        "the CRL is overdue since %s and the time here is %s, so the certificate of %s cannot be taken: "
        "provision a newer one, or check this machine's clock",
        when, here, handshake->peer);
}

/* RESULT_UNKNOWN where the error is not about the peer's certificate. */
static enum result say_chain(const struct handshake *handshake, int error, struct reason *why)
{
    const char *text = NULL;
    switch (error) {
    case ASN_AFTER_DATE_E:
        return say_time(handshake, true, why);
    case ASN_BEFORE_DATE_E:
        return say_time(handshake, false, why);
    case CRL_MISSING:
    case CRL_CERT_DATE_ERR:
        return say_no_list(handshake, why);
    case CRL_CERT_REVOKED:
        text = "is revoked";
        break;
    case ASN_NO_SIGNER_E:
    case ASN_SELF_SIGNED_E:
    case ASN_SIG_CONFIRM_E:
    case ASN_SIG_KEY_E:
    case ASN_SIG_HASH_E:
    case ASN_SIG_OID_E:
        text = "was not issued by the end-to-end CA that is provisioned here";
        break;
    case EXTKEYUSE_AUTH_E:
    case KEYUSE_SIGNATURE_E:
        text = "is not for this end of the handshake (key usage, extended key usage)";
        break;
    case NO_PEER_CERT:
    case NO_PEER_VERIFY:
        text = "was not shown";
        break;
    case SIG_VERIFY_E:
    case VERIFY_SIGN_ERROR:
    case VERIFY_CERT_ERROR:
    case VERIFY_MAC_ERROR:
        text = "is not of the key that signed the handshake";
        break;
    case PEER_KEY_ERROR:
    case ECC_KEY_SIZE_E:
    case ASN_PARSE_E:
    case MAX_CHAIN_ERROR:
        text = "or its chain cannot be used";
        break;
    default:
        return RESULT_UNKNOWN;
    }
    return result_fail(why, RESULT_REFUSED, "certificate of %s %s (wolfSSL %d)", handshake->peer, text,
                       error);
}

enum result handshake_refuse(const struct handshake *handshake, int error, enum audit_counter *cause,
                             struct reason *why)
{
    if (error == UNKNOWN_ALPN_PROTOCOL_NAME_E) {
        *cause = AUDIT_REFUSED_MECHANISM;
        return result_fail(why, RESULT_REFUSED, "%s offers no mechanism that is taken here (%s)",
                           handshake->peer, MECHANISM_WRAP);
    }
    if (handshake->mode == CREDENTIALS_CERT && say_chain(handshake, error, why) == RESULT_REFUSED) {
        *cause = AUDIT_REFUSED_CHAIN;
        return RESULT_REFUSED;
    }
    bool wrong_key = error == BAD_BINDER || error == PSK_KEY_ERROR || !handshake->is_server;
    if (handshake->mode == CREDENTIALS_PSK && wrong_key) {
        *cause = AUDIT_REFUSED_PSK;
        return result_fail(
            why, RESULT_REFUSED,
            "the pre-shared key that %s uses is not the one kept here, or its flight was altered "
            "(wolfSSL %d)",
            handshake->peer, error);
    }
    *cause = AUDIT_REFUSED_HELLO;
    return result_fail(why, RESULT_REFUSED, "flight of %s is cut off, altered or out of place (wolfSSL %d)",
                       handshake->peer, error);
}
