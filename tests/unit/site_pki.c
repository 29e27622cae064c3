/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/site_pki.h"

static void run(const char *directory, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void run(const char *directory, const char *format, ...)
{
    char script[2048];
    char command[4096];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(script, sizeof(script), format, arguments);
    va_end(arguments);
    (void)snprintf(command, sizeof(command), "cd '%s' && { %s; } >>openssl.log 2>&1", directory, script);
    if (system(command) != 0) {
        fail_msg("openssl failed: see %s/openssl.log", directory);
    }
}

void site_pki_make(const char *directory)
{
    run(directory,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem"
        " -subj '/CN=End-to-end CA' -days 365 -addext basicConstraints=critical,CA:TRUE"
        " -addext keyUsage=critical,keyCertSign,cRLSign && : >index.txt && echo 01 >crlnumber &&"
        " printf '[ca]\\ndefault_ca = here\\n[here]\\ndatabase = index.txt\\ncrlnumber = crlnumber\\n"
        "default_md = sha256\\ncertificate = ca.pem\\nprivate_key = ca.key\\n' >ca.cnf");
    site_pki_list(directory, 3650);
}

void site_pki_list(const char *directory, unsigned days)
{
    run(directory,
        "openssl ca -config ca.cnf -gencrl -crldays %u -out crl.pem && openssl crl -in crl.pem -outform DER"
        " -out crl.der",
        days);
}

void site_pki_revoke(const char *directory, const char *name)
{
    run(directory, "openssl ca -config ca.cnf -revoke '%s.pem'", strrchr(name, '/') + 1);
}

void site_pki_read(const char *directory, const char *name, struct buffer *out)
{
    char path[512];
    uint8_t piece[4096];
    size_t length;
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((length = fread(piece, 1, sizeof(piece), file)) > 0) {
        assert_int_equal(buffer_append(out, (struct bytes){piece, length}), RESULT_OK);
    }
    (void)fclose(file);
}

void site_pki_issue(const char *directory, struct identity *identity)
{
    char san[256];
    bool is_uri = false;
    assert_int_equal(
        identity_san(identity->name, identity->kind, identity->authority, san, sizeof(san), &is_uri),
        RESULT_OK);
    run(directory,
        "printf 'basicConstraints=critical,CA:FALSE\\nkeyUsage=critical,digitalSignature\\n"
        "extendedKeyUsage=%s\\nsubjectAltName=%s:%s\\n' >leaf.ext &&"
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout leaf.key -out leaf.csr"
        " -subj /CN=leaf && openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 300 -extfile "
        "leaf.ext"
        " -out leaf.pem && cp leaf.pem '%s.pem'",
        identity->kind == IDENTITY_IN_CSE ? "serverAuth" : "clientAuth", is_uri ? "URI" : "DNS", san,
        strrchr(identity->name, '/') + 1);
    identity->chain = BUFFER_EMPTY(65536);
    identity->private_key = BUFFER_EMPTY(65536);
    identity->trust_anchors = BUFFER_EMPTY(65536);
    site_pki_read(directory, "leaf.pem", &identity->chain);
    site_pki_read(directory, "leaf.key", &identity->private_key);
    site_pki_read(directory, "ca.pem", &identity->trust_anchors);
    identity->crl = BUFFER_EMPTY(65536);
    site_pki_read(directory, "crl.pem", &identity->crl);
}
