/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/identifier.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    char id[ONEM2M_ID_LIMIT + 1];
    char level[ONEM2M_ID_LIMIT + 1];
    char again[ONEM2M_ID_LIMIT + 1];
    if (onem2m_id_resolve(text, "//sp.example/mn-1", id, sizeof id)) {
        ALWAYS(onem2m_id_valid(id));
        ALWAYS(onem2m_id_resolve(id, "//other.example/mn-2", again, sizeof again) && strcmp(id, again) == 0);
        ALWAYS(onem2m_id_to_level(id, level, sizeof level));
    }
    ALWAYS(!onem2m_id_valid(text) || onem2m_id_stem(text, level, sizeof level));
    free(text);
    return 0;
}
