/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include "secenv/handshake.h"
#include "tests/unit/handshake_pki.h"

#define DAY_US (86400ull * 1000000ull)
#define FLIGHT_LIMIT 49152u

/* ---- one handshake, and what became of it ---- */

enum where { AT_START, AT_HELLO, AT_ANSWER, AT_LAST, AT_END };

static const char *const where_names[] = {"client start", "server, flight 1", "client, flight 2",
                                          "server, flight 3", "the end"};

struct run {
    enum where stopped;
    enum result result;
    enum audit_counter cause;
    struct reason why;
    struct agreement member;
    struct agreement authority;
    bool same_hello; /* both ends hashed the same flight 1 */
};

/* Alters a flight (1 to 3) on its way. */
typedef void (*tamper)(void *context, int flight, struct buffer *bytes);

struct flights {
    struct buffer one;
    struct buffer two;
    struct buffer three;
};

static struct run run_flights(struct handshake_context *client, struct handshake_context *server,
                              const struct expected_peer *peer, tamper change, void *context,
                              struct flights *flights)
{
    struct run run = {.stopped = AT_START, .cause = AUDIT_COUNT};
    struct handshake *member = NULL;
    struct handshake *authority = NULL;
    uint8_t hash[2][32];
    run.result = handshake_client_start(client, &member, &flights->one, hash[0], &run.why);
    if (run.result == RESULT_OK) {
        run.stopped = AT_HELLO;
        if (change != NULL) {
            change(context, 1, &flights->one);
        }
        run.result = handshake_server_start(server, peer, buffer_bytes(&flights->one), &authority,
                                            &flights->two, hash[1], &run.cause, &run.why);
    }
    if (run.result == RESULT_OK) {
        run.stopped = AT_ANSWER;
        if (change != NULL) {
            change(context, 2, &flights->two);
        }
        run.result = handshake_client_finish(member, buffer_bytes(&flights->two), &flights->three,
                                             &run.member, &run.cause, &run.why);
        assert_true(run.result == RESULT_OK || flights->three.length == 0);
    }
    if (run.result == RESULT_OK) {
        run.stopped = AT_LAST;
        if (change != NULL) {
            change(context, 3, &flights->three);
        }
        run.result = handshake_server_finish(authority, buffer_bytes(&flights->three), &run.authority,
                                             &run.cause, &run.why);
    }
    if (run.result == RESULT_OK) {
        run.stopped = AT_END;
        run.same_hello = memcmp(hash[0], hash[1], 32) == 0;
    }
    handshake_free(member);
    handshake_free(authority);
    return run;
}

static struct run run_once(struct handshake_context *client, struct handshake_context *server,
                           const struct expected_peer *peer, tamper change, void *context)
{
    struct flights flights = {BUFFER_EMPTY(FLIGHT_LIMIT), BUFFER_EMPTY(FLIGHT_LIMIT),
                              BUFFER_EMPTY(FLIGHT_LIMIT)};
    struct run run = run_flights(client, server, peer, change, context, &flights);
    buffer_clear(&flights.one);
    buffer_clear(&flights.two);
    buffer_clear(&flights.three);
    return run;
}

static void assert_agreed(const struct run *run, enum credentials_mode mode)
{
    if (run->result != RESULT_OK) {
        fail_msg("refused at %s: %s", where_names[run->stopped], run->why.text);
    }
    assert_true(run->same_hello);
    assert_memory_equal(run->member.id, run->authority.id, ASSOCIATION_ID_SIZE);
    assert_memory_equal(run->member.key.data, run->authority.key.data, SECRET_SIZE);
    assert_int_equal(run->member.mode, mode);
    assert_int_equal(run->authority.mode, mode);
    assert_string_equal(run->member.mechanism, MECHANISM_WRAP);
    assert_string_equal(run->authority.mechanism, MECHANISM_WRAP);
}

static void assert_refused(const struct run *run, enum where where, enum audit_counter cause,
                           const char *text)
{
    if (run->result == RESULT_OK || run->stopped != where || run->cause != cause ||
        strstr(run->why.text, text) == NULL) {
        fail_msg("expected a refusal at %s, %s, \"%s\"; got %s at %s, %s, \"%s\"", where_names[where],
                 audit_name(cause), text, result_word(run->result), where_names[run->stopped],
                 run->cause < AUDIT_COUNT ? audit_name(run->cause) : "no cause", run->why.text);
    }
}

/* ---- who takes part ---- */

static struct handshake_context *context_of(struct identity identity, const struct clock_source *clock)
{
    struct handshake_context *context = NULL;
    struct reason why = {""};
    if (handshake_context_new(&identity, clock, &context, &why) != RESULT_OK) {
        fail_msg("%s", why.text);
    }
    identity_clear(&identity);
    return context;
}

static struct handshake_context *authority_with(const char *name, const char *crl)
{
    return context_of(pki_identity(AUTHORITY, IDENTITY_IN_CSE, name, "ca", crl), &clock_system);
}

static struct handshake_context *member_with(const char *name)
{
    return context_of(pki_identity(DOOR, IDENTITY_ADN_AE, name, "ca", NULL), &clock_system);
}

static struct handshake_context *member_psk(uint8_t filler, const char *psk_identity)
{
    return context_of(pki_psk(DOOR, IDENTITY_ADN_AE, filler, psk_identity), &clock_system);
}

static const struct expected_peer door_certificate = {DOOR, IDENTITY_ADN_AE, CREDENTIALS_CERT, NULL, NULL};
static const struct secret right_key = {
    {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}};
static const struct expected_peer door_psk = {DOOR, IDENTITY_ADN_AE, CREDENTIALS_PSK, "door-1", &right_key};

/* ---- tests: both modes ---- */

static void certificate_agrees(void **state)
{
    (void)state;
    struct handshake_context *client = member_with("door");
    struct handshake_context *server = authority_with("in-cse", "crl");
    struct run first = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&first, CREDENTIALS_CERT);
    struct run second = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&second, CREDENTIALS_CERT);
    assert_memory_not_equal(first.member.id, second.member.id, ASSOCIATION_ID_SIZE);
    assert_memory_not_equal(first.member.key.data, second.member.key.data, SECRET_SIZE);
    handshake_context_free(client);
    handshake_context_free(server);
}

static void mn_cse_certificate_agrees(void **state)
{
    (void)state;
    struct handshake_context *client =
        context_of(pki_identity(MN_CSE, IDENTITY_MN_CSE, "mn-1", "ca", "crl"), &clock_system);
    struct handshake_context *server = authority_with("in-cse", "crl");
    struct expected_peer peer = {MN_CSE, IDENTITY_MN_CSE, CREDENTIALS_CERT, NULL, NULL};
    struct run run = run_once(client, server, &peer, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    peer.kind = IDENTITY_ADN_AE; /* a DNS name is not a URI, whatever it says */
    run = run_once(client, server, &peer, NULL, NULL);
    assert_refused(&run, AT_LAST, AUDIT_REFUSED_NAME, "is not of //sp.example/mn-1");
    handshake_context_free(client);
    handshake_context_free(server);
}

static void psk_agrees(void **state)
{
    (void)state;
    struct handshake_context *client = member_psk(7, "door-1");
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct run first = run_once(client, server, &door_psk, NULL, NULL);
    assert_agreed(&first, CREDENTIALS_PSK);
    struct run second = run_once(client, server, &door_psk, NULL, NULL);
    assert_agreed(&second, CREDENTIALS_PSK);
    assert_memory_not_equal(first.member.key.data, second.member.key.data, SECRET_SIZE);
    handshake_context_free(client);
    handshake_context_free(server);
}

/* ---- tests: what the authority refuses ---- */

struct refusal {
    const char *file;
    enum audit_counter cause;
    const char *text;
};

static void bad_member_certificates(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"door-expired", AUDIT_REFUSED_CHAIN, "certificate of //sp.example/Sdoor1 expired on 20"},
        {"door-future", AUDIT_REFUSED_CHAIN, "is not valid before 20"},
        {"door-revoked", AUDIT_REFUSED_CHAIN, "is revoked"},
        {"door-other", AUDIT_REFUSED_CHAIN, "not issued by the end-to-end CA"},
        {"door-twin", AUDIT_REFUSED_CHAIN, "not issued by the end-to-end CA"},
        {"sensor", AUDIT_REFUSED_NAME, "is not of //sp.example/Sdoor1"},
        {"door-two-names", AUDIT_REFUSED_NAME, "has 2 subjectAltNames"},
        {"door-name-and-mail", AUDIT_REFUSED_NAME, "has 2 subjectAltNames"},
        {"door-no-san", AUDIT_REFUSED_NAME, "has 0 subjectAltNames"},
        {"door-dns", AUDIT_REFUSED_NAME, "is not of"},
        {"door-both-usages", AUDIT_REFUSED_CHAIN, "clientAuth and no other"},
        {"door-any-usage", AUDIT_REFUSED_CHAIN, "clientAuth and no other"},
        {"door-no-usage", AUDIT_REFUSED_CHAIN, "clientAuth and no other"},
        {"door-other-usage", AUDIT_REFUSED_CHAIN, "not for this end"},
        {"door-agrees", AUDIT_REFUSED_CHAIN, "digitalSignature and no other"},
        {"in-cse", AUDIT_REFUSED_CHAIN, "not for this end"},
        {"mn-1", AUDIT_REFUSED_NAME, "is not of //sp.example/Sdoor1"},
    };
    struct handshake_context *server = authority_with("in-cse", "crl");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].file);
        struct handshake_context *client = member_with(cases[i].file);
        struct run run = run_once(client, server, &door_certificate, NULL, NULL);
        assert_refused(&run, AT_LAST, cases[i].cause, cases[i].text);
        handshake_context_free(client);
    }
    struct handshake_context *client = member_with("door");
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_free(client);
    handshake_context_free(server);
}

static void curve_is_p256(void **state)
{
    (void)state;
    struct identity identity = pki_identity(DOOR, IDENTITY_ADN_AE, "door-p384", "ca", NULL);
    struct handshake_context *client = context_of(identity, &clock_system);
    struct handshake_context *server = authority_with("in-cse", "crl");
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_int_not_equal(run.result, RESULT_OK);
    assert_true(run.stopped < AT_END);
    handshake_context_free(client);
    handshake_context_free(server);
}

static void intermediate_ca_is_taken(void **state)
{
    (void)state;
    struct handshake_context *client = member_with("door-middle");
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_free(server);
    /* With a CRL of the root alone nothing says whether the intermediate CA revoked it. */
    server = authority_with("in-cse", "crl");
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_LAST, AUDIT_REFUSED_CHAIN, "no CRL covers");
    handshake_context_free(client);
    handshake_context_free(server);
}

static void wrong_pre_shared_keys(void **state)
{
    (void)state;
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct handshake_context *client = member_psk(8, "door-1");
    struct run run = run_once(client, server, &door_psk, NULL, NULL);
    assert_refused(&run, AT_HELLO, AUDIT_REFUSED_PSK, "not the one kept here");
    handshake_context_free(client);
    client = member_psk(7, "door-2");
    run = run_once(client, server, &door_psk, NULL, NULL);
    assert_refused(&run, AT_HELLO, AUDIT_REFUSED_UNKNOWN, "not the one in the roster");
    handshake_context_free(client);
    client = member_psk(7, "door-1");
    run = run_once(client, server, &door_psk, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_PSK);
    handshake_context_free(client);
    handshake_context_free(server);
}

static void modes_do_not_mix(void **state)
{
    (void)state;
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct handshake_context *certificate = member_with("door");
    struct handshake_context *psk = member_psk(7, "door-1");
    struct run run = run_once(certificate, server, &door_psk, NULL, NULL);
    assert_refused(&run, AT_HELLO, AUDIT_REFUSED_HELLO, "the roster says PSK");
    run = run_once(psk, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_HELLO, AUDIT_REFUSED_HELLO, "the roster says certificate");
    run = run_once(psk, server, &door_psk, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_PSK);
    run = run_once(certificate, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_free(certificate);
    handshake_context_free(psk);
    handshake_context_free(server);
}

static void ends_are_not_exchanged(void **state)
{
    (void)state;
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct handshake_context *client = member_with("door");
    struct run run = run_once(server, server, &door_certificate, NULL, NULL);
    assert_int_equal(run.result, RESULT_INVALID);
    assert_int_equal(run.stopped, AT_START);
    run = run_once(client, client, &door_certificate, NULL, NULL);
    assert_int_equal(run.result, RESULT_INVALID);
    assert_int_equal(run.stopped, AT_HELLO);
    handshake_context_free(client);
    handshake_context_free(server);
}

/* ---- tests: what the member refuses ---- */

static void bad_authority_certificates(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"in-cse-expired", AUDIT_REFUSED_CHAIN, "certificate of //sp.example/in-cse expired on 20"},
        {"in-cse-revoked", AUDIT_REFUSED_CHAIN, "is revoked"},
        {"in-cse-other", AUDIT_REFUSED_CHAIN, "not issued by the end-to-end CA"},
        {"in-cse-both-usages", AUDIT_REFUSED_CHAIN, "serverAuth and no other"},
        {"in-cse-client", AUDIT_REFUSED_CHAIN, "not for this end"},
        {"in-cse-cn", AUDIT_REFUSED_NAME, "is not of //sp.example/in-cse"},
        {"in-cse-other-name", AUDIT_REFUSED_NAME, "is not of //sp.example/in-cse"},
        {"mn-1", AUDIT_REFUSED_CHAIN, "not for this end"},
        {"door", AUDIT_REFUSED_CHAIN, "not for this end"},
    };
    struct handshake_context *client =
        context_of(pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", "crl"), &clock_system);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].file);
        struct handshake_context *server = authority_with(cases[i].file, NULL);
        struct run run = run_once(client, server, &door_certificate, NULL, NULL);
        assert_refused(&run, AT_ANSWER, cases[i].cause, cases[i].text);
        handshake_context_free(server);
    }
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_free(server);
    handshake_context_free(client);
}

/* ---- tests: time and CRLs ---- */

static uint64_t shifted_wall(void *context)
{
    return clock_wall_us(&clock_system) + *(const uint64_t *)context;
}

static uint64_t plain_monotonic(void *context)
{
    (void)context;
    return clock_monotonic_us(&clock_system);
}

static void clock_given_is_used(void **state)
{
    (void)state;
    uint64_t shift = 400 * DAY_US;
    struct clock_source later = {shifted_wall, plain_monotonic, &shift};
    struct handshake_context *client =
        context_of(pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", NULL), &later);
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_CHAIN, "certificate of //sp.example/in-cse expired on");
    shift = 0;
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_free(client);
    handshake_context_free(server);
}

static uint64_t long_ago(void *context)
{
    (void)context;
    return 1000000;
}

static void time_is_not_before_the_build(void **state)
{
    (void)state;
    struct clock_source first_boot = {long_ago, plain_monotonic, NULL};
    struct handshake_context *client =
        context_of(pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", "crl"), &first_boot);
    struct handshake_context *server = authority_with("in-cse-expired", NULL);
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_CHAIN, "expired on 20");
    handshake_context_free(server);

    /* Nor before the newest time that the authority has told. */
    uint64_t now_ms = clock_wall_ms(&clock_system);
    server = authority_with("in-cse", NULL);
    handshake_context_not_before(client, now_ms);
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_not_before(client, now_ms + 400ull * 86400000u);
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_CHAIN, "expired on 20");
    assert_non_null(strstr(run.why.text, "the time here is 20"));
    assert_non_null(strstr(run.why.text, "check this machine's clock"));
    handshake_context_not_before(client, now_ms); /* it has begun anew */
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_free(client);
    handshake_context_free(server);
}

/* A device that starts with its clock unset refuses, and goes on when the clock is right. */
static void anchor_is_valid_at_the_handshake(void **state)
{
    (void)state;
    uint64_t shift = 0;
    struct clock_source clock = {shifted_wall, plain_monotonic, &shift};
    struct handshake_context *client =
        context_of(pki_identity(DOOR, IDENTITY_ADN_AE, "door", "future", NULL), &clock);
    struct handshake_context *server = authority_with("in-cse-future", NULL);
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_CHAIN, "the end-to-end CA is not valid before 20");
    shift = 15 * DAY_US;
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    shift = 3700 * DAY_US;
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_CHAIN, "expired on 20");
    handshake_context_free(client);
    handshake_context_free(server);
}

static void overdue_list(void **state)
{
    (void)state;
    struct handshake_context *client = member_with("door");
    struct handshake_context *server = authority_with("in-cse", "crl-overdue");
    struct run run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_LAST, AUDIT_REFUSED_CHAIN, "the CRL is overdue since");
    handshake_context_free(server);
    handshake_context_free(client);

    /* At a device: an alarm, but what it names stays refused. */
    client = context_of(pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", "crl-overdue"), &clock_system);
    server = authority_with("in-cse", "crl");
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_agreed(&run, CREDENTIALS_CERT);
    handshake_context_free(server);
    server = authority_with("in-cse-revoked", "crl");
    run = run_once(client, server, &door_certificate, NULL, NULL);
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_CHAIN, "is revoked");
    handshake_context_free(server);
    handshake_context_free(client);
}

static void foreign_lists_are_not_loaded(void **state)
{
    (void)state;
    static const char *const lists[] = {"crl-other", "crl-twin", "ca"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct identity identity = pki_identity(DOOR, IDENTITY_ADN_AE, "door", "ca", lists[i]);
        struct handshake_context *context = NULL;
        struct reason why = {""};
        assert_int_equal(handshake_context_new(&identity, &clock_system, &context, &why), RESULT_INVALID);
        assert_non_null(strstr(why.text, "CRL"));
        identity_clear(&identity);
    }
}

/* ---- tests: a peer of plain wolfSSL ---- */

struct pipe_end {
    struct buffer out;
    struct bytes in;
};

static int raw_receive(WOLFSSL *ssl, char *out, int size, void *context)
{
    (void)ssl;
    struct pipe_end *end = context;
    size_t length = end->in.length < (size_t)size ? end->in.length : (size_t)size;
    if (length == 0) {
        return WOLFSSL_CBIO_ERR_WANT_READ;
    }
    memcpy(out, end->in.data, length);
    end->in.data += length;
    end->in.length -= length;
    return (int)length;
}

static int raw_send(WOLFSSL *ssl, char *data, int size, void *context)
{
    (void)ssl;
    struct pipe_end *end = context;
    assert_int_equal(buffer_append(&end->out, (struct bytes){(const uint8_t *)data, (size_t)size}),
                     RESULT_OK);
    return size;
}

static unsigned int raw_client_psk(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_max,
                                   unsigned char *key, unsigned int key_max, const char **suite)
{
    (void)ssl;
    (void)hint;
    (void)identity_max;
    (void)key_max;
    strcpy(identity, "door-1");
    memset(key, 7, SECRET_SIZE);
    *suite = "TLS13-CHACHA20-POLY1305-SHA256";
    return SECRET_SIZE;
}

static unsigned int raw_server_psk(WOLFSSL *ssl, const char *identity, unsigned char *key,
                                   unsigned int key_max, const char **suite)
{
    (void)ssl;
    (void)identity;
    (void)key_max;
    memset(key, 7, SECRET_SIZE);
    *suite = "TLS13-CHACHA20-POLY1305-SHA256";
    return SECRET_SIZE;
}

/* How the raw peer differs from ours. */
struct raw {
    bool server;
    bool tls12;
    bool no_certificate;
    bool psk;
    bool psk_only_ke;
    bool no_key_share;
    int group;
    const char *alpn; /* NULL: none */
};

struct raw_peer {
    WOLFSSL_CTX *ctx;
    WOLFSSL *ssl;
    struct pipe_end end;
};

static void raw_files(WOLFSSL_CTX *ctx, const char *name)
{
    struct identity identity = pki_identity("", IDENTITY_ADN_AE, name, "ca", NULL);
    assert_int_equal(
        wolfSSL_CTX_use_certificate_chain_buffer(ctx, identity.chain.data, (long)identity.chain.length),
        WOLFSSL_SUCCESS);
    assert_int_equal(wolfSSL_CTX_use_PrivateKey_buffer(ctx, identity.private_key.data,
                                                       (long)identity.private_key.length,
                                                       WOLFSSL_FILETYPE_PEM),
                     WOLFSSL_SUCCESS);
    identity_clear(&identity);
}

static WOLFSSL_CTX *raw_ctx(const struct raw *raw)
{
    WOLFSSL_METHOD *method = raw->server  ? wolfTLSv1_3_server_method()
                             : raw->tls12 ? wolfTLSv1_2_client_method()
                                          : wolfTLSv1_3_client_method();
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(method);
    assert_non_null(ctx);
    wolfSSL_CTX_SetIORecv(ctx, raw_receive);
    wolfSSL_CTX_SetIOSend(ctx, raw_send);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
    (void)wolfSSL_CTX_no_ticket_TLSv13(ctx);
    if (raw->psk_only_ke) {
        (void)wolfSSL_CTX_no_dhe_psk(ctx);
    }
    if (!raw->tls12) {
        int groups[] = {raw->group != 0 ? raw->group : WOLFSSL_ECC_X25519};
        assert_int_equal(wolfSSL_CTX_set_groups(ctx, groups, 1), WOLFSSL_SUCCESS);
        assert_int_equal(wolfSSL_CTX_set_cipher_list(ctx, "TLS13-CHACHA20-POLY1305-SHA256"), WOLFSSL_SUCCESS);
    }
    if (raw->psk && raw->server) {
        wolfSSL_CTX_set_psk_server_tls13_callback(ctx, raw_server_psk);
    } else if (raw->psk) {
        wolfSSL_CTX_set_psk_client_tls13_callback(ctx, raw_client_psk);
    } else if (!raw->no_certificate) {
        raw_files(ctx, raw->server ? "in-cse" : "door");
    }
    return ctx;
}

static void raw_open(struct raw_peer *peer, const struct raw *raw)
{
    (void)wolfSSL_Init();
    memset(peer, 0, sizeof(*peer));
    peer->end.out = BUFFER_EMPTY(FLIGHT_LIMIT);
    peer->ctx = raw_ctx(raw);
    peer->ssl = wolfSSL_new(peer->ctx);
    assert_non_null(peer->ssl);
    wolfSSL_SetIOReadCtx(peer->ssl, &peer->end);
    wolfSSL_SetIOWriteCtx(peer->ssl, &peer->end);
    if (raw->alpn != NULL) {
        char list[64];
        (void)snprintf(list, sizeof(list), "%s", raw->alpn);
        assert_int_equal(
            wolfSSL_UseALPN(peer->ssl, list, (unsigned)strlen(list), WOLFSSL_ALPN_CONTINUE_ON_MISMATCH),
            WOLFSSL_SUCCESS);
    }
    if (raw->no_key_share) {
        assert_int_equal(wolfSSL_NoKeyShares(peer->ssl), WOLFSSL_SUCCESS);
    }
}

static void raw_close(struct raw_peer *peer)
{
    wolfSSL_free(peer->ssl);
    wolfSSL_CTX_free(peer->ctx);
    buffer_clear(&peer->end.out);
}

/* A raw client against our authority. */
static struct run raw_client_run(const struct raw *raw, const struct expected_peer *expected)
{
    struct raw_peer peer;
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct run run = {.stopped = AT_HELLO, .cause = AUDIT_COUNT};
    struct handshake *authority = NULL;
    struct buffer flight2 = BUFFER_EMPTY(FLIGHT_LIMIT);
    uint8_t hash[32];
    raw_open(&peer, raw);
    assert_int_not_equal(wolfSSL_connect(peer.ssl), WOLFSSL_SUCCESS);
    assert_true(peer.end.out.length > 0);
    run.result = handshake_server_start(server, expected, buffer_bytes(&peer.end.out), &authority, &flight2,
                                        hash, &run.cause, &run.why);
    if (run.result == RESULT_OK) {
        run.stopped = AT_LAST;
        buffer_clear(&peer.end.out);
        peer.end.in = buffer_bytes(&flight2);
        assert_int_equal(wolfSSL_connect(peer.ssl), WOLFSSL_SUCCESS);
        run.result = handshake_server_finish(authority, buffer_bytes(&peer.end.out), &run.authority,
                                             &run.cause, &run.why);
    }
    if (run.result == RESULT_OK) {
        run.stopped = AT_END;
        run.member = run.authority;
        run.same_hello = true;
    }
    buffer_clear(&flight2);
    handshake_free(authority);
    handshake_context_free(server);
    raw_close(&peer);
    return run;
}

static void raw_clients(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct raw raw;
        bool psk;
        enum where where;
        enum audit_counter cause;
        const char *text;
    } cases[] = {
        {"no ALPN", {.alpn = NULL}, false, AT_HELLO, AUDIT_REFUSED_MECHANISM, "offers no mechanism"},
        {"other ALPN",
         {.alpn = "gs-other/1"},
         false,
         AT_HELLO,
         AUDIT_REFUSED_MECHANISM,
         "no mechanism that is taken"},
        {"PSK, no ALPN", {.psk = true}, true, AT_HELLO, AUDIT_REFUSED_MECHANISM, "offers no mechanism"},
        {"no key share",
         {.alpn = MECHANISM_WRAP, .no_key_share = true},
         false,
         AT_HELLO,
         AUDIT_REFUSED_HELLO,
         "no key share"},
        {"PSK, no key share",
         {.alpn = MECHANISM_WRAP, .psk = true, .no_key_share = true},
         true,
         AT_HELLO,
         AUDIT_REFUSED_HELLO,
         "no key share"},
        {"key share on P-256 only",
         {.alpn = MECHANISM_WRAP, .group = WOLFSSL_ECC_SECP256R1},
         false,
         AT_HELLO,
         AUDIT_REFUSED_HELLO,
         "no key share"},
        {"psk_ke only",
         {.alpn = MECHANISM_WRAP, .psk = true, .psk_only_ke = true},
         true,
         AT_HELLO,
         AUDIT_REFUSED_HELLO,
         ""},
        {"TLS 1.2", {.alpn = MECHANISM_WRAP, .tls12 = true}, false, AT_HELLO, AUDIT_REFUSED_HELLO, "TLS 1.3"},
        {"no client certificate",
         {.alpn = MECHANISM_WRAP, .no_certificate = true},
         false,
         AT_LAST,
         AUDIT_REFUSED_CHAIN,
         "was not shown"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].what);
        struct run run = raw_client_run(&cases[i].raw, cases[i].psk ? &door_psk : &door_certificate);
        assert_refused(&run, cases[i].where, cases[i].cause, cases[i].text);
    }
    struct raw good = {.alpn = MECHANISM_WRAP};
    struct run run = raw_client_run(&good, &door_certificate);
    assert_agreed(&run, CREDENTIALS_CERT);
    good.psk = true;
    run = raw_client_run(&good, &door_psk);
    assert_agreed(&run, CREDENTIALS_PSK);
    good = (struct raw){.alpn = "gs-later/2,gs-wrap/1"}; /* ours is among what it offers */
    run = raw_client_run(&good, &door_certificate);
    assert_agreed(&run, CREDENTIALS_CERT);
}

/* Our member against a raw server. */
static struct run raw_server_run(const struct raw *raw, struct handshake_context *client)
{
    struct raw_peer peer;
    struct run run = {.stopped = AT_ANSWER, .cause = AUDIT_COUNT};
    struct handshake *member = NULL;
    struct buffer flight1 = BUFFER_EMPTY(FLIGHT_LIMIT);
    struct buffer flight3 = BUFFER_EMPTY(FLIGHT_LIMIT);
    uint8_t hash[32];
    assert_int_equal(handshake_client_start(client, &member, &flight1, hash, &run.why), RESULT_OK);
    raw_open(&peer, raw);
    peer.end.in = buffer_bytes(&flight1);
    int accepted = wolfSSL_accept(peer.ssl);
    if (peer.end.out.length == 0) {
        fail_msg("the raw server answers nothing: %d", wolfSSL_get_error(peer.ssl, accepted));
    }
    run.result = handshake_client_finish(member, buffer_bytes(&peer.end.out), &flight3, &run.member,
                                         &run.cause, &run.why);
    if (run.result == RESULT_OK) {
        run.stopped = AT_END;
        run.authority = run.member;
        run.same_hello = true;
    }
    buffer_clear(&flight1);
    buffer_clear(&flight3);
    handshake_free(member);
    handshake_context_free(client);
    raw_close(&peer);
    return run;
}

static void raw_servers(void **state)
{
    (void)state;
    struct raw raw = {.server = true, .alpn = NULL};
    struct run run = raw_server_run(&raw, member_with("door"));
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_MECHANISM, "no mechanism was agreed");
    raw.alpn = "gs-other/1";
    run = raw_server_run(&raw, member_with("door"));
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_MECHANISM, "no mechanism was agreed");
    raw.alpn = MECHANISM_WRAP;
    run = raw_server_run(&raw, member_with("door"));
    assert_agreed(&run, CREDENTIALS_CERT);

    /* A retry for another group, and no retry at all. */
    raw.group = WOLFSSL_ECC_SECP256R1;
    run = raw_server_run(&raw, member_with("door"));
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_HELLO, "");

    /* A server that holds the right certificate, but no pre-shared key; one that does without key share. */
    raw = (struct raw){.server = true, .alpn = MECHANISM_WRAP};
    run = raw_server_run(&raw, member_psk(7, "door-1"));
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_PSK, "does not take the pre-shared key");
    raw = (struct raw){.server = true, .alpn = MECHANISM_WRAP, .psk = true, .psk_only_ke = true};
    run = raw_server_run(&raw, member_psk(7, "door-1"));
    assert_refused(&run, AT_ANSWER, AUDIT_REFUSED_PSK, "key share");
    raw.psk_only_ke = false;
    run = raw_server_run(&raw, member_psk(7, "door-1"));
    assert_agreed(&run, CREDENTIALS_PSK);
}

/* ---- tests: flights on their way ---- */

struct change {
    int flight;
    size_t at;
    bool cut;
    bool longer;
    bool changed; /* the flight was long enough: signatures differ in length */
};

static void apply_change(void *context, int flight, struct buffer *bytes)
{
    struct change *change = context;
    if (flight != change->flight) {
        return;
    }
    if (change->longer) {
        uint8_t more = 0;
        assert_int_equal(buffer_append(bytes, (struct bytes){&more, 1}), RESULT_OK);
    } else if (change->cut) {
        bytes->length = change->at < bytes->length ? change->at : 0;
    } else if (change->at < bytes->length) {
        bytes->data[change->at] ^= 0x01;
        change->changed = true;
    }
}

static size_t flight_sizes[4];

static void measure(void *context, int flight, struct buffer *bytes)
{
    (void)context;
    flight_sizes[flight] = bytes->length;
}

static void altered(struct handshake_context *client, const struct expected_peer *peer, size_t step)
{
    struct handshake_context *server = authority_with("in-cse", "crl");
    struct run good = run_once(client, server, peer, measure, NULL);
    assert_agreed(&good, peer->mode);
    print_message("  flights of %zu, %zu and %zu bytes\n", flight_sizes[1], flight_sizes[2], flight_sizes[3]);
    for (int flight = 1; flight <= 3; flight++) {
        for (size_t at = 0; at < flight_sizes[flight]; at += step) {
            struct change change = {flight, at, false, false, false};
            struct run run = run_once(client, server, peer, apply_change, &change);
            if (run.result == RESULT_OK && change.changed) {
                fail_msg("flight %d, byte %zu of %zu altered: taken", flight, at, flight_sizes[flight]);
            }
            change = (struct change){flight, at, true, false, false};
            run = run_once(client, server, peer, apply_change, &change);
            assert_int_not_equal(run.result, RESULT_OK);
            assert_in_range(run.cause, AUDIT_REFUSED_CHAIN, AUDIT_REFUSED_HELLO);
            assert_true(run.why.text[0] != '\0');
        }
        struct change change = {flight, 0, false, true, false};
        struct run run = run_once(client, server, peer, apply_change, &change);
        assert_int_not_equal(run.result, RESULT_OK);
    }
    good = run_once(client, server, peer, NULL, NULL);
    assert_agreed(&good, peer->mode);
    handshake_context_free(server);
}

static void altered_flights(void **state)
{
    (void)state;
    struct handshake_context *client = member_with("door");
    altered(client, &door_certificate, 3);
    handshake_context_free(client);
    client = member_psk(7, "door-1");
    altered(client, &door_psk, 1);
    handshake_context_free(client);
}

static struct buffer kept[4];

static void reflect(void *context, int flight, struct buffer *bytes)
{
    const int *which = context;
    buffer_clear(&kept[flight]);
    assert_int_equal(buffer_append(&kept[flight], buffer_bytes(bytes)), RESULT_OK);
    if (flight == which[0]) {
        buffer_clear(bytes);
        assert_int_equal(buffer_append(bytes, buffer_bytes(&kept[which[1]])), RESULT_OK);
    }
}

static void reflected_and_old_flights(void **state)
{
    (void)state;
    struct handshake_context *clients[] = {member_with("door"), member_psk(7, "door-1")};
    const struct expected_peer *peers[] = {&door_certificate, &door_psk};
    struct handshake_context *server = authority_with("in-cse", NULL);
    /* {2, 1}: the client's own hello comes back; {3, 2}: the server's own; {3, 1}: the hello again. */
    static int ways[][2] = {{2, 1}, {3, 2}, {3, 1}};
    for (size_t i = 0; i < 4; i++) {
        kept[i] = BUFFER_EMPTY(FLIGHT_LIMIT);
    }
    for (size_t mode = 0; mode < 2; mode++) {
        for (size_t i = 0; i < 3; i++) {
            struct run run = run_once(clients[mode], server, peers[mode], reflect, ways[i]);
            assert_int_not_equal(run.result, RESULT_OK);
            assert_int_equal(run.stopped, ways[i][0] == 2 ? AT_ANSWER : AT_LAST);
        }
        static int none[] = {0, 0};
        struct run run = run_once(clients[mode], server, peers[mode], reflect, none);
        assert_agreed(&run, peers[mode]->mode);
        handshake_context_free(clients[mode]);
    }
    for (size_t i = 0; i < 4; i++) {
        buffer_clear(&kept[i]);
    }
    handshake_context_free(server);
}

static void last_flight_is_taken_once(void **state)
{
    (void)state;
    struct handshake_context *client = member_with("door");
    struct handshake_context *server = authority_with("in-cse", NULL);
    struct buffer flights[3] = {BUFFER_EMPTY(FLIGHT_LIMIT), BUFFER_EMPTY(FLIGHT_LIMIT),
                                BUFFER_EMPTY(FLIGHT_LIMIT)};
    struct handshake *member = NULL;
    struct handshake *authority = NULL;
    struct agreement agreement;
    struct reason why = {""};
    enum audit_counter cause;
    uint8_t hash[32];
    assert_int_equal(handshake_client_start(client, &member, &flights[0], hash, &why), RESULT_OK);
    assert_int_equal(handshake_server_start(server, &door_certificate, buffer_bytes(&flights[0]), &authority,
                                            &flights[1], hash, &cause, &why),
                     RESULT_OK);
    assert_int_equal(
        handshake_client_finish(member, buffer_bytes(&flights[1]), &flights[2], &agreement, &cause, &why),
        RESULT_OK);
    assert_int_equal(handshake_server_finish(authority, buffer_bytes(&flights[2]), &agreement, &cause, &why),
                     RESULT_OK);
    assert_int_equal(handshake_server_finish(authority, buffer_bytes(&flights[2]), &agreement, &cause, &why),
                     RESULT_INVALID);
    handshake_free(member);
    handshake_free(authority);
    handshake_free(NULL);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&flights[i]);
    }
    handshake_context_free(client);
    handshake_context_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate_agrees),
        cmocka_unit_test(mn_cse_certificate_agrees),
        cmocka_unit_test(psk_agrees),
        cmocka_unit_test(bad_member_certificates),
        cmocka_unit_test(curve_is_p256),
        cmocka_unit_test(intermediate_ca_is_taken),
        cmocka_unit_test(wrong_pre_shared_keys),
        cmocka_unit_test(modes_do_not_mix),
        cmocka_unit_test(ends_are_not_exchanged),
        cmocka_unit_test(bad_authority_certificates),
        cmocka_unit_test(clock_given_is_used),
        cmocka_unit_test(time_is_not_before_the_build),
        cmocka_unit_test(anchor_is_valid_at_the_handshake),
        cmocka_unit_test(overdue_list),
        cmocka_unit_test(foreign_lists_are_not_loaded),
        cmocka_unit_test(raw_clients),
        cmocka_unit_test(raw_servers),
        cmocka_unit_test(altered_flights),
        cmocka_unit_test(reflected_and_old_flights),
        cmocka_unit_test(last_flight_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
