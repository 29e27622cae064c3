/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/handshake.h"
#include "tests/fuzz/fuzz.h"

/* Both hellos, which are read before wolfSSL sees them, or after it wrote them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    ALWAYS(exact != NULL);
    if (size != 0) {
        memcpy(exact, data, size);
    }
    struct hello hello;
    struct reason why = {""};
    struct bytes bytes = {exact, size};
    enum result result = hello_parse(bytes, &hello, &why);
    ALWAYS(result == RESULT_OK || result == RESULT_INVALID || result == RESULT_REFUSED);
    ALWAYS((result == RESULT_OK) == (why.text[0] == '\0'));
    if (result == RESULT_OK) {
        ALWAYS(size <= 4096 && hello.offers_tls13 && hello.has_key_share && hello.has_alpn);
        ALWAYS(!hello.has_early_data && (!hello.has_psk || hello.offers_psk_dhe));
        ALWAYS(strlen(hello.psk_identity) < sizeof(hello.psk_identity));
    }
    bool with = server_hello_check(bytes, true, &why) == RESULT_OK;
    bool without = server_hello_check(bytes, false, &why) == RESULT_OK;
    ALWAYS(!with || !without);
    free(exact);
    return 0;
}
