/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_CRASH_SEALED_H
#define GROUPSEAL_TESTS_CRASH_SEALED_H

#include <stddef.h>

/*
 * Every (cipher, key, nonce) that this program has sealed with, of all nodes and of all their lives: the
 * program is linked with --wrap=aead_seal. A second use fails the test where it happens.
 */
size_t sealed_count(void);
void sealed_forget(void);

#endif
