/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_ONEM2M_RESOURCE_H
#define GROUPSEAL_ONEM2M_RESOURCE_H

#include "onem2m/primitive.h"

/*
 * The resources that an MN-CSE keeps (TS-0004 7.4, short names of 8.2.3 and 8.2.4): <AE>, <group> and its own
 * <CSEBase>. A resource holds the attributes that its type permits and nothing else; what peers add beyond
 * that is passed over in reading. cJSON inside; no I/O.
 */
enum onem2m_type { ONEM2M_AE = 2, ONEM2M_CSE_BASE = 5, ONEM2M_GROUP = 9 };

#define ONEM2M_RESOURCE_LIMIT 32768u /* bytes of a resource as JSON */
#define ONEM2M_TIME_SIZE 16u         /* "20141003T112032" and its zero */

struct onem2m_resource; /* owns its memory */

/* NULL: out of memory. */
struct onem2m_resource *onem2m_resource_new(enum onem2m_type type) __attribute__((warn_unused_result));
/* What a CREATE asks for: the permitted attributes of `pc`. NULL: `pc` is no resource of this type, lacks
 * what is mandatory, an attribute is of another kind than its own, or it is over the limit. */
struct onem2m_resource *onem2m_resource_asked(const struct onem2m_primitive *request, enum onem2m_type type)
    __attribute__((warn_unused_result));
/* The resource as an UPDATE would leave it; null takes an optional attribute away (TS-0004 7.3.2.4). NULL: as
 * above, or it names an attribute that cannot be updated. */
struct onem2m_resource *onem2m_resource_updated(const struct onem2m_resource *resource,
                                                const struct onem2m_primitive *request)
    __attribute__((warn_unused_result));
void onem2m_resource_free(struct onem2m_resource *resource); /* NULL is allowed */

/* Sets an attribute of the CSE's own (aei, ri, ct, cnm, …). False: out of memory, or no such attribute. */
bool onem2m_resource_set_text(struct onem2m_resource *resource, const char *name, const char *text);
bool onem2m_resource_set_number(struct onem2m_resource *resource, const char *name, int number);
bool onem2m_resource_set_texts(struct onem2m_resource *resource, const char *name, const char *const *texts,
                               size_t count);
bool onem2m_resource_set_numbers(struct onem2m_resource *resource, const char *name, const int *numbers,
                                 size_t count);

/* "" or `missing` where absent; texts live as long as the attribute. */
const char *onem2m_resource_text(const struct onem2m_resource *resource, const char *name);
int onem2m_resource_number(const struct onem2m_resource *resource, const char *name, int missing);
size_t onem2m_resource_count(const struct onem2m_resource *resource, const char *name); /* items of a list */
const char *onem2m_resource_item(const struct onem2m_resource *resource, const char *name, size_t at);

/* Sets `pc` of a response to the resource. */
bool onem2m_set_resource(struct onem2m_primitive *response, const struct onem2m_resource *resource);

/* As one line of JSON, {"m2m:ae":{…}}, and back. malloc'd; NULL: out of memory, or not such a line. */
char *onem2m_resource_print(const struct onem2m_resource *resource, size_t *length);
struct onem2m_resource *onem2m_resource_parse(const char *json, size_t length)
    __attribute__((warn_unused_result));
enum onem2m_type onem2m_resource_type(const struct onem2m_resource *resource);

/* Wall clock in milliseconds as TS-0004 6.3.3 writes it: ISO 8601 basic, UTC. */
void onem2m_time_text(uint64_t wall_ms, char out[ONEM2M_TIME_SIZE]);

#endif
