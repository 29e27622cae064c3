/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/certificate.h"
#include "tests/fuzz/fuzz.h"

/* Certificates, CRLs and PEM. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    ALWAYS(exact != NULL);
    if (size != 0) {
        memcpy(exact, data, size);
    }
    struct bytes bytes = {exact, size};
    struct certificate certificate;
    struct revocation_list list;
    struct reason why = {""};
    enum audit_counter cause = AUDIT_COUNT;
    if (certificate_parse(bytes, &certificate) == RESULT_OK &&
        certificate_check(&certificate, "x", "m2m://sp.example/Sdoor1", true, CERTIFICATE_CLIENT, &cause,
                          &why) == RESULT_OK) {
        ALWAYS(certificate.names == 1 && certificate.client_only && !certificate.server_only);
    }
    if (revocation_list_parse(bytes, &list) == RESULT_OK) {
        char text[CERTIFICATE_TIME_SIZE];
        certificate.issuer = list.issuer;
        certificate.serial = (struct bytes){(const uint8_t *)"\x01", 1};
        (void)revocation_list_names(&list, &certificate);
        ALWAYS(list.number.length <= REVOCATION_NUMBER_LIMIT && revocation_list_compare(&list, &list) == 0);
        ALWAYS(list.number.length == 0 || (list.has_number && list.number.data[0] != 0));
        char name[CERTIFICATE_NAME_SIZE];
        certificate_time_text(list.this_update, text);
        certificate_name_text(list.issuer, name);
        ALWAYS(strlen(name) < sizeof(name));
    }
    struct bytes rest = bytes;
    struct bytes one;
    while (revocation_list_next(&rest, &one) == RESULT_OK) {
        ALWAYS(one.length > 0 && one.data + one.length == rest.data);
    }
    struct buffer der = BUFFER_EMPTY(65536);
    while (pem_next(&bytes, "CERTIFICATE", &der) == RESULT_OK) {
    }
    buffer_clear(&der);
    free(exact);
    return 0;
}
