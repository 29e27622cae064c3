#ifndef GROUPSEAL_ONEM2M_PRIMITIVE_H
#define GROUPSEAL_ONEM2M_PRIMITIVE_H

#include "onem2m/identifier.h"

#include <stdint.h>

/*
 * TS-0004 request and response primitives in JSON with short names (8.2.2, 8.4): as much as Groupseal uses,
 * the rest kept as it came. Parsing is bounded (the limits below, depth 16) and lenient (integral doubles,
 * duplicate members, unknown members, missing rqi in answers, `ri` for `rqi`); printing is strict. cJSON
 * inside; no I/O.
 */
#define ONEM2M_PRIMITIVE_LIMIT 98304u /* 96 KiB */
#define ONEM2M_MEMBERS_LIMIT 64u      /* of the primitive's own object */
#define ONEM2M_VALUES_LIMIT 4096u     /* in all: members and items of whatever it holds */
#define ONEM2M_RQI_LIMIT 200u

enum onem2m_operation { ONEM2M_CREATE = 1, ONEM2M_RETRIEVE, ONEM2M_UPDATE, ONEM2M_DELETE, ONEM2M_NOTIFY };

/* Response status codes, TS-0004 6.6.3. */
enum onem2m_rsc {
    ONEM2M_OK = 2000,
    ONEM2M_CREATED = 2001,
    ONEM2M_DELETED = 2002,
    ONEM2M_UPDATED = 2004,
    ONEM2M_BAD_REQUEST = 4000,
    ONEM2M_NOT_FOUND = 4004,
    ONEM2M_OPERATION_NOT_ALLOWED = 4005,
    ONEM2M_REQUEST_TIMEOUT = 4008,
    ONEM2M_UNSUPPORTED_MEDIA_TYPE = 4015,
    ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE = 4103,
    ONEM2M_GROUP_REQUEST_IDENTIFIER_EXISTS = 4104,
    ONEM2M_CONFLICT = 4105,
    ONEM2M_ORIGINATOR_NOT_AUTHENTICATED = 4106,
    ONEM2M_NO_MEMBERS = 4109,
    ONEM2M_ALREADY_REGISTERED = 4117,
    ONEM2M_INTERNAL_SERVER_ERROR = 5000,
    ONEM2M_NOT_IMPLEMENTED = 5001,
    ONEM2M_TARGET_NOT_REACHABLE = 5103,
    ONEM2M_NON_BLOCKING_NOT_SUPPORTED = 5206,
    ONEM2M_NOT_ACCEPTABLE = 5207,
    ONEM2M_GROUP_MEMBERS_NOT_RESPONDED = 5209,
    ONEM2M_TOO_MANY_MEMBERS = 6010,
};

struct onem2m_primitive; /* a parsed or built primitive; owns its memory */

struct onem2m_primitive *onem2m_parse(const char *json,
                                      size_t length);             /* NULL: not a primitive, over a limit */
void onem2m_free(struct onem2m_primitive *primitive);             /* NULL is allowed */
bool onem2m_is_request(const struct onem2m_primitive *primitive); /* has `op` */

/* Members; "" or 0 where absent. Strings live as long as the primitive. */
enum onem2m_operation onem2m_op(const struct onem2m_primitive *primitive);
int onem2m_rsc_of(const struct onem2m_primitive *primitive);
int onem2m_ty(const struct onem2m_primitive *primitive);
const char *onem2m_to(const struct onem2m_primitive *primitive);
const char *onem2m_fr(const struct onem2m_primitive *primitive);
const char *onem2m_rqi(const struct onem2m_primitive *primitive);
/* Request expiration (rqet): ISO 8601 basic UTC or milliseconds from now; true where it has passed at
 * `now_ms`. A value that is not a timestamp counts as passed. */
bool onem2m_expired(const struct onem2m_primitive *primitive, uint64_t now_ms);
/* The same of the result expiration (rset), or of the request expiration: whichever comes first. */
bool onem2m_result_expired(const struct onem2m_primitive *primitive, uint64_t now_ms);

/* The response may not come at once: rt.rtv is 1 or 2 (TS-0004 6.3.4.2.6). */
bool onem2m_non_blocking(const struct onem2m_primitive *request);
bool onem2m_wants_content(const struct onem2m_primitive *request); /* rcn is not 0 (6.3.4.2.7) */

/* Group requests: their identifier (gid), "" where absent, and the members they are meant for (grtm). */
const char *onem2m_gid(const struct onem2m_primitive *request);
size_t onem2m_group_target_count(const struct onem2m_primitive *request);
const char *onem2m_group_target(const struct onem2m_primitive *request, size_t at);

/* New primitives. NULL: out of memory or over a limit. */
struct onem2m_primitive *onem2m_request(enum onem2m_operation op, const char *to, const char *fr,
                                        const char *rqi);
struct onem2m_primitive *onem2m_response(enum onem2m_rsc rsc, const char *rqi, const char *to,
                                         const char *fr);

/* NULL: out of memory. */
struct onem2m_primitive *onem2m_copy(const struct onem2m_primitive *primitive);

/* Forwarding (TS-0001 7.1.7): replaces rqi, everything else (fr too) stays. */
bool onem2m_set_rqi(struct onem2m_primitive *primitive, const char *rqi);
bool onem2m_set_to(struct onem2m_primitive *primitive, const char *to);
bool onem2m_set_fr(struct onem2m_primitive *primitive, const char *fr);
bool onem2m_set_gid(struct onem2m_primitive *primitive, const char *gid);

/* pc = {"m2m:agr":{"m2m:rsp":[…]}}: the responses of a group's members (TS-0004 7.4.14.2), NULL ones left
 * out.
 */
bool onem2m_set_aggregated(struct onem2m_primitive *response, struct onem2m_primitive *const *members,
                           size_t count);

/* pc = {"m2m:seci":{"sit":6,"eckm":base64}} (TS-0004 6.3.5.48). The getter decodes: false where there is none
 * or it is malformed;
 * `*out` is malloc'd. */
bool onem2m_set_seci(struct onem2m_primitive *primitive, const uint8_t *object, size_t length);
bool onem2m_get_seci(const struct onem2m_primitive *primitive, uint8_t **out, size_t *length);

/* AE registration (TS-0004 7.4.5): pc = {"m2m:ae":{…}}. */
struct onem2m_ae {
    char app_id[ONEM2M_ID_LIMIT + 1]; /* api */
    char name[ONEM2M_ID_LIMIT + 1];   /* rn, may be empty */
    char ae_id[ONEM2M_ID_LIMIT + 1];  /* aei, in answers */
    bool reachable;                   /* rr */
    bool has_esi;                     /* announces end-to-end features: SUID 44, 14 */
};
bool onem2m_set_ae(struct onem2m_primitive *primitive, const struct onem2m_ae *ae);
bool onem2m_get_ae(const struct onem2m_primitive *primitive, struct onem2m_ae *out);

/* Prints JSON without white space; malloc'd, zero terminated. NULL: out of memory or over the limit. */
char *onem2m_print(const struct onem2m_primitive *primitive, size_t *length);

#endif
