/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/resource.h"
#include "tests/fuzz/fuzz.h"

/* A resource as a line of text, and as what a request asks for. What is kept reads the same again. */
static void keep(const struct onem2m_resource *resource)
{
    size_t length = 0;
    size_t again_length = 0;
    char *line = onem2m_resource_print(resource, &length);
    ALWAYS(line != NULL && memchr(line, '\n', length) == NULL);
    struct onem2m_resource *again = onem2m_resource_parse(line, length);
    ALWAYS(again != NULL && onem2m_resource_type(again) == onem2m_resource_type(resource));
    char *twice = onem2m_resource_print(again, &again_length);
    ALWAYS(twice != NULL && strcmp(line, twice) == 0);
    onem2m_resource_free(again);
    free(line);
    free(twice);
}

static void ask(const struct onem2m_primitive *request, enum onem2m_type type)
{
    struct onem2m_resource *resource = onem2m_resource_asked(request, type);
    if (resource == NULL) {
        return;
    }
    keep(resource);
    ALWAYS(onem2m_resource_text(resource, "cr")[0] == '\0'); /* never the originator's to set */
    struct onem2m_resource *updated = onem2m_resource_updated(resource, request);
    if (updated != NULL) {
        keep(updated);
    }
    onem2m_resource_free(updated);
    onem2m_resource_free(resource);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct onem2m_resource *resource = onem2m_resource_parse((const char *)data, size);
    if (resource != NULL) {
        keep(resource);
    }
    onem2m_resource_free(resource);
    struct onem2m_primitive *request = onem2m_parse((const char *)data, size);
    if (request != NULL) {
        ask(request, ONEM2M_AE);
        ask(request, ONEM2M_GROUP);
    }
    onem2m_free(request);
    return 0;
}
