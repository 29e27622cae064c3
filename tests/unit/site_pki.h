/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_SITE_PKI_H
#define GROUPSEAL_TESTS_UNIT_SITE_PKI_H

#include "secenv/credentials.h"

/* An end-to-end CA of a test, in `directory`, made by the openssl program at its first use. */
void site_pki_make(const char *directory);

/* Its CRL anew, with the next number: crl.pem and crl.der; runs out after so many days. */
void site_pki_list(const char *directory, unsigned days);
/* The next CRL names the certificate that was issued to this id last. */
void site_pki_revoke(const char *directory, const char *name);
/* Appends a file of the directory. */
void site_pki_read(const char *directory, const char *name, struct buffer *out);

/* Fills chain, private key, trust anchors and CRL of an identity whose names and kind are set. */
void site_pki_issue(const char *directory, struct identity *identity);

#endif
