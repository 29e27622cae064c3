/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_ONEM2M_PRIMITIVE_JSON_H
#define GROUPSEAL_ONEM2M_PRIMITIVE_JSON_H

#include "onem2m/primitive.h"

#include <cjson/cJSON.h>

#define RELEASE_VERSION "3" /* rvi, srv: what is sent */

/* Shared by primitive.c and content.c only: the JSON object of a primitive. */
struct onem2m_primitive {
    cJSON *json;
    size_t size; /* about what it prints to */
};

/* Any JSON object of foreign bytes, within the limits of a primitive; of members that come twice the first
 * counts. NULL: it is none. To be freed with cJSON_Delete. */
cJSON *json_object(const char *json, size_t length);

const cJSON *json_member(const cJSON *object, const char *name);
/* The member's text; "" where it is absent or no string. */
const char *json_text(const cJSON *object, const char *name);
/* The member's whole number, also written as a double (2001.0); `missing` where there is none. */
int json_number(const cJSON *object, const char *name, int missing);
/* Replaces or adds a member; takes `value`, also on failure. False: out of memory (NULL value too). */
bool json_set(cJSON *object, const char *name, cJSON *value);

#endif
