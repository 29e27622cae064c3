/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/base64.h"
#include "onem2m/primitive_json.h"

#include <stdlib.h>
#include <string.h>

#define TYPE_AE 2
#define SECI_ESCERTKE 6 /* m2m:securityInfoType */
#define FEATURE_CERT 44 /* SUID: certificate for end-to-end data */
#define FEATURE_PSK 14  /* SUID: pre-provisioned key for end-to-end data */

/* Sets pc = {name: content}; takes `content`, also on failure. */
static bool content_set(struct onem2m_primitive *primitive, const char *name, cJSON *content)
{
    cJSON *pc = cJSON_CreateObject();
    if (pc == NULL) {
        cJSON_Delete(content);
        return false;
    }
    if (json_set(pc, name, content)) {
        return json_set(primitive->json, "pc", pc);
    }
    cJSON_Delete(pc);
    return false;
}

bool onem2m_set_seci(struct onem2m_primitive *primitive, const uint8_t *object, size_t length)
{
    char *text = base64_encode(object, length);
    cJSON *info = cJSON_CreateObject();
    primitive->size += text == NULL ? 0 : strlen(text);
    bool built = text != NULL && info != NULL && json_set(info, "sit", cJSON_CreateNumber(SECI_ESCERTKE)) &&
                 json_set(info, "eckm", cJSON_CreateString(text));
    free(text);
    if (built) {
        return content_set(primitive, "m2m:seci", info);
    }
    cJSON_Delete(info);
    return false;
}

bool onem2m_get_seci(const struct onem2m_primitive *primitive, uint8_t **out, size_t *length)
{
    const cJSON *info = json_member(json_member(primitive->json, "pc"), "m2m:seci");
    if (json_number(info, "sit", 0) != SECI_ESCERTKE) {
        return false;
    }
    const char *text = json_text(info, "eckm");
    return *text != '\0' && base64_decode(text, out, length);
}

static cJSON *features_new(void)
{
    const int features[] = {FEATURE_CERT, FEATURE_PSK};
    cJSON *info = cJSON_CreateObject();
    if (info != NULL && json_set(info, "esf", cJSON_CreateIntArray(features, 2))) {
        return info;
    }
    cJSON_Delete(info);
    return NULL;
}

static bool text_add(cJSON *object, const char *name, const char *text)
{
    return *text == '\0' || json_set(object, name, cJSON_CreateString(text));
}

bool onem2m_set_ae(struct onem2m_primitive *primitive, const struct onem2m_ae *ae)
{
    const char *releases[] = {RELEASE_VERSION};
    cJSON *resource = cJSON_CreateObject();
    if (resource == NULL) {
        return false;
    }
    if (!text_add(resource, "rn", ae->name) || !text_add(resource, "api", ae->app_id) ||
        !text_add(resource, "aei", ae->ae_id) || !json_set(resource, "rr", cJSON_CreateBool(ae->reachable)) ||
        !json_set(resource, "srv", cJSON_CreateStringArray(releases, 1)) ||
        (ae->has_esi && !json_set(resource, "esi", features_new()))) {
        cJSON_Delete(resource);
        return false;
    }
    if (onem2m_is_request(primitive) && !json_set(primitive->json, "ty", cJSON_CreateNumber(TYPE_AE))) {
        cJSON_Delete(resource);
        return false;
    }
    return content_set(primitive, "m2m:ae", resource);
}

/* False where the text is longer than an id. */
static bool text_take(const cJSON *object, const char *name, char out[ONEM2M_ID_LIMIT + 1])
{
    const char *text = json_text(object, name);
    size_t length = strlen(text);
    if (length > ONEM2M_ID_LIMIT) {
        return false;
    }
    memcpy(out, text, length + 1);
    return true;
}

bool onem2m_get_ae(const struct onem2m_primitive *primitive, struct onem2m_ae *out)
{
    memset(out, 0, sizeof *out);
    const cJSON *resource = json_member(json_member(primitive->json, "pc"), "m2m:ae");
    if (!cJSON_IsObject(resource)) {
        return false;
    }
    out->reachable = cJSON_IsTrue(json_member(resource, "rr"));
    out->has_esi = cJSON_IsObject(json_member(resource, "esi"));
    return text_take(resource, "api", out->app_id) && text_take(resource, "rn", out->name) &&
           text_take(resource, "aei", out->ae_id);
}
