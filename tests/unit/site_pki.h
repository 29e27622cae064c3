/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_UNIT_SITE_PKI_H
#define GROUPSEAL_TESTS_UNIT_SITE_PKI_H

#include "secenv/credentials.h"

/* An end-to-end CA of a test, in `directory`, made by the openssl program at its first use. */
void site_pki_make(const char *directory);

/* Fills chain, private key and trust anchors of an identity whose names and kind are set. */
void site_pki_issue(const char *directory, struct identity *identity);

#endif
