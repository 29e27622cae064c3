/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/topic.h"
#include "tests/fuzz/fuzz.h"

/* MQTT's own matching (3.1.1, 4.7), slow and plain. */
static int filter_matches(const char *filter, const char *topic)
{
    for (;;) {
        size_t wanted = strcspn(filter, "/");
        size_t given = strcspn(topic, "/");
        if (wanted == 1 && *filter == '#') {
            return 1;
        }
        if (!(wanted == 1 && *filter == '+') && (wanted != given || memcmp(filter, topic, given) != 0)) {
            return 0;
        }
        filter += wanted;
        topic += given;
        if (*filter == '\0' || *topic == '\0') {
            return *filter == *topic;
        }
        filter++;
        topic++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *filter = fuzz_text(data, size);
    const char *plain = topic_filter_unshared(filter);
    ALWAYS(!filter_matches(plain, "groupseal/v1/mn-1/doors/cmd") || group_topic_touches(filter));
    ALWAYS(!filter_matches(plain, "groupseal/v1/mn-1/doors/tree/0/1") || group_topic_touches(filter));
    ALWAYS(!filter_matches(plain, "/oneM2M/req/Sdoor1/mn-1/json") || onem2m_topic_touches(filter));
    ALWAYS(!filter_matches(plain, "/oneM2M/reg_resp/Sdoor1/mn-1/json") || onem2m_topic_touches(filter));
    free(filter);
    return 0;
}
