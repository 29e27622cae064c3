/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/primitive.h"
#include "tests/fuzz/fuzz.h"

static void read_all(const struct onem2m_primitive *primitive)
{
    struct onem2m_ae ae;
    uint8_t *object = NULL;
    size_t length = 0;
    (void)onem2m_expired(primitive, 1735689600000u);
    (void)onem2m_get_ae(primitive, &ae);
    if (onem2m_get_seci(primitive, &object, &length)) {
        ALWAYS(object != NULL && length < ONEM2M_PRIMITIVE_LIMIT);
        free(object);
    }
}

/* What is forwarded must read the same to the next reader. */
static void forward(struct onem2m_primitive *primitive)
{
    size_t length = 0;
    ALWAYS(onem2m_set_rqi(primitive, "Sdoor1/1"));
    char *printed = onem2m_print(primitive, &length);
    if (printed == NULL) {
        return;
    }
    struct onem2m_primitive *again = onem2m_parse(printed, length);
    ALWAYS(again != NULL);
    ALWAYS(strcmp(onem2m_fr(again), onem2m_fr(primitive)) == 0);
    ALWAYS(strcmp(onem2m_to(again), onem2m_to(primitive)) == 0);
    ALWAYS(strcmp(onem2m_rqi(again), "Sdoor1/1") == 0);
    ALWAYS(onem2m_op(again) == onem2m_op(primitive) && onem2m_rsc_of(again) == onem2m_rsc_of(primitive));
    onem2m_free(again);
    free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct onem2m_primitive *primitive = onem2m_parse((const char *)data, size);
    if (primitive != NULL) {
        read_all(primitive);
        forward(primitive);
        onem2m_free(primitive);
    }
    return 0;
}
