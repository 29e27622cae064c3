/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/topic.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    char built[ONEM2M_TOPIC_LIMIT + 1];
    struct onem2m_topic primitive;
    struct group_topic group;
    if (onem2m_topic_parse(text, &primitive)) {
        ALWAYS(onem2m_topic_touches(text) && !group_topic_touches(text));
        if (strcmp(primitive.serialisation, "json") == 0) {
            ALWAYS(onem2m_topic_build(primitive.tree, primitive.originator, primitive.receiver, built,
                                      sizeof built));
            ALWAYS(strcmp(built, text) == 0);
        }
    }
    if (group_topic_parse(text, &group)) {
        ALWAYS(group_topic_touches(text) && !onem2m_topic_touches(text));
        ALWAYS(group_topic_build(&group, built, sizeof built) && strcmp(built, text) == 0);
    }
    free(text);
    return 0;
}
