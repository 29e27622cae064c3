/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/agent/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a line that is kept says: here is a resource, as JSON; or this resource id is gone. */
#define LINE_RESOURCE '+'
#define LINE_GONE '-'

#define CSE_TYPE_MN 2 /* cst */
#define MIXED 0       /* mt: members of any type */

/* ---- addresses ---- */

/* Passes over `level` and the slash behind it; false: the path does not begin with it. */
static bool level_skip(const char **path, const char *level)
{
    size_t length = strlen(level);
    if (strncmp(*path, level, length) != 0 || ((*path)[length] != '/' && (*path)[length] != '\0')) {
        return false;
    }
    *path += length;
    *path += **path == '/';
    return true;
}

/* The path below this CSE, whatever form `to` has (TS-0001 7.2); false: not below it by its form. */
static bool path_below(const struct agent *agent, const char *to, const char **path)
{
    *path = to;
    if (strncmp(to, "//", 2) == 0) {
        return level_skip(path, agent->rule.cse_id);
    }
    if (to[0] == '/') {
        ++*path;
        return level_skip(path, agent->rule.cse_level);
    }
    return to[0] != '\0';
}

/* A path's first level names a resource by its id, or, behind the <CSEBase>'s own name, by its name. */
static struct resource *path_resource(const struct agent *agent, const char *path, bool structured,
                                      const char **rest)
{
    char first[ONEM2M_ID_LIMIT + 1];
    size_t length = strcspn(path, "/");
    if (length == 0 || length >= sizeof(first)) {
        return NULL;
    }
    memcpy(first, path, length);
    first[length] = '\0';
    *rest = path[length] == '/' ? path + length + 1 : path + length;
    struct resource *resource = structured ? NULL : resource_find(&agent->resources, first);
    return resource != NULL ? resource : resource_named(&agent->resources, first);
}

/* The <AE> that `to` names by an id of its own: "/Sdoor1", "//sp.example/Sdoor1", "mn-1:Cdoor1". */
static struct resource *ae_resource(const struct agent *agent, const char *to)
{
    char id[ONEM2M_ID_LIMIT + 1];
    char level[ONEM2M_ID_LIMIT + 1];
    return onem2m_id_resolve(to, agent->rule.cse_id, id, sizeof(id)) &&
                   identity_is_local_ae(&agent->rule, id) && onem2m_id_to_level(id, level, sizeof(level))
               ? resource_find(&agent->resources, level)
               : NULL;
}

void hosting_find(const struct agent *agent, const char *to, struct address *out)
{
    const char *path = NULL;
    const char *rest = "";
    out->what = ADDRESS_ELSEWHERE;
    out->resource = NULL;
    if (path_below(agent, to, &path)) {
        bool structured = level_skip(&path, "-") || level_skip(&path, agent->rule.cse_level);
        if (path[0] == '\0' || strcmp(path, ".") == 0) {
            out->what = ADDRESS_BASE;
            return;
        }
        out->resource = path_resource(agent, path, structured, &rest);
    }
    if (out->resource == NULL) {
        rest = "";
        out->resource = ae_resource(agent, to);
    }
    if (out->resource != NULL &&
        (size_t)snprintf(out->rest, sizeof(out->rest), "%s", rest) < sizeof(out->rest)) {
        out->what = ADDRESS_RESOURCE;
    }
}

/* ---- kept ---- */

static bool line_keep(struct agent *agent, char mark, const char *text, size_t length)
{
    if (agent->ports.keep == NULL) {
        return true;
    }
    char *line = malloc(length + 1);
    bool kept = false;
    if (line != NULL) {
        line[0] = mark;
        memcpy(line + 1, text, length);
        kept = agent->ports.keep(agent->ports.context, line, length + 1);
    }
    free(line);
    if (!kept) {
        agent_note(
            agent, AGENT_COUNT_NOT_KEPT, AGENT_WARNING,
            "a change of registrations or groups was not written to plugin_opt_state_file: a restart "
            "forgets it until the file has been written anew, which is tried every minute: is the disk "
            "full?");
    }
    return kept;
}

static bool resource_keep(struct agent *agent, const struct resource *resource)
{
    size_t length = 0;
    char *text = onem2m_resource_print(resource->content, &length);
    bool kept = line_keep(agent, LINE_RESOURCE, text == NULL ? "" : text, length);
    free(text);
    return kept;
}

bool agent_keep_all(struct agent *agent)
{
    bool kept = true;
    for (const struct resource *resource = table_first(&agent->resources.by_ri); resource != NULL;
         resource = table_next(&resource->by_ri)) {
        kept = resource_keep(agent, resource) && kept;
    }
    return kept;
}

static bool resource_restore(struct agent *agent, const char *text, size_t length)
{
    struct onem2m_resource *content = onem2m_resource_parse(text, length);
    if (content == NULL) {
        return false;
    }
    const char *ri = onem2m_resource_text(content, "ri");
    const char *name = onem2m_resource_text(content, "rn");
    struct resource *before = resource_find(&agent->resources, ri);
    if (before != NULL && onem2m_resource_type(before->content) == onem2m_resource_type(content)) {
        resource_replace(before, content);
        return true;
    }
    bool valid =
        ri[0] != '\0' && resource_name_valid(name) && onem2m_resource_type(content) != ONEM2M_CSE_BASE;
    struct resource *gone = resource_named(&agent->resources, name);
    if (valid && before == NULL && gone != NULL) {
        /* The line that said so is missing. */
        resource_remove(&agent->resources, gone);
    }
    if (valid &&
        resource_add(&agent->resources, ri, name, onem2m_resource_text(content, "cr"), content) != NULL) {
        return true;
    }
    onem2m_resource_free(content);
    return false;
}

bool agent_restore(struct agent *agent, const char *line, size_t length)
{
    char ri[ONEM2M_ID_LIMIT + 1];
    if (length > 1 && line[0] == LINE_RESOURCE) {
        return resource_restore(agent, line + 1, length - 1);
    }
    if (length < 2 || line[0] != LINE_GONE || length > sizeof(ri)) {
        return false;
    }
    memcpy(ri, line + 1, length - 1);
    ri[length - 1] = '\0';
    struct resource *resource = resource_find(&agent->resources, ri);
    if (resource == NULL) {
        return false;
    }
    resource_remove(&agent->resources, resource);
    return true;
}

/* ---- operations ---- */

static void time_now(const struct agent *agent, char out[ONEM2M_TIME_SIZE])
{
    onem2m_time_text(agent->ports.wall_ms(agent->ports.context), out);
}

struct outcome hosting_add(struct agent *agent, const char *ri, const char *name, const char *creator,
                           struct onem2m_resource *content)
{
    char now[ONEM2M_TIME_SIZE];
    struct resource *resource = NULL;
    bool taken =
        resource_find(&agent->resources, ri) != NULL || resource_named(&agent->resources, name) != NULL;

    time_now(agent, now);
    if (!taken && onem2m_resource_set_text(content, "ri", ri) &&
        onem2m_resource_set_text(content, "rn", name) &&
        onem2m_resource_set_text(content, "pi", agent->rule.cse_level) &&
        onem2m_resource_set_number(content, "ty", (int)onem2m_resource_type(content)) &&
        onem2m_resource_set_text(content, "ct", now) && onem2m_resource_set_text(content, "lt", now) &&
        onem2m_resource_set_text(content, "cr", creator)) {
        resource = resource_add(&agent->resources, ri, name, creator, content);
    }
    if (resource == NULL) {
        onem2m_resource_free(content);
        return (struct outcome){.rsc = taken ? ONEM2M_CONFLICT : ONEM2M_NOT_ACCEPTABLE};
    }
    (void)resource_keep(agent, resource); /* it has told of a failure, and serves all the same */
    return (struct outcome){.rsc = ONEM2M_CREATED, .content = content};
}

/* The number of members, and what of the list cannot be; ONEM2M_OK: it can. */
static enum onem2m_rsc members_check(const struct agent *agent, struct onem2m_resource *content)
{
    int most = onem2m_resource_number(content, "mnm", 0);
    size_t count = onem2m_resource_count(content, "mid");

    if (most < 1 || onem2m_resource_number(content, "mt", MIXED) < 0) {
        return ONEM2M_BAD_REQUEST;
    }
    if (most > (int)RESOURCES_MEMBERS_LIMIT) {
        most = (int)RESOURCES_MEMBERS_LIMIT;
    }
    if (count > (size_t)most) {
        return ONEM2M_TOO_MANY_MEMBERS;
    }
    for (size_t i = 0; i < count; i++) {
        struct address address;
        const char *member = onem2m_resource_item(content, "mid", i);
        if (strlen(member) > ONEM2M_ID_LIMIT || member[0] == '\0') {
            return ONEM2M_BAD_REQUEST;
        }
        hosting_find(agent, member, &address);
        if (address.what == ADDRESS_RESOURCE &&
            onem2m_resource_type(address.resource->content) == ONEM2M_GROUP) {
            return ONEM2M_NOT_IMPLEMENTED; /* groups of groups */
        }
    }
    return onem2m_resource_set_number(content, "mnm", most) &&
                   onem2m_resource_set_number(content, "cnm", (int)count)
               ? ONEM2M_OK
               : ONEM2M_INTERNAL_SERVER_ERROR;
}

/* Members that come twice count once (TS-0004 7.4.13.2.1). */
static bool members_unique(struct onem2m_resource *content)
{
    const char *unique[RESOURCES_MEMBERS_LIMIT];
    size_t count = 0;
    size_t given = onem2m_resource_count(content, "mid");
    for (size_t i = 0; i < given && count < RESOURCES_MEMBERS_LIMIT; i++) {
        const char *member = onem2m_resource_item(content, "mid", i);
        size_t at = 0;
        while (at < count && strcmp(unique[at], member) != 0) {
            at++;
        }
        unique[at] = member;
        count += at == count;
    }
    return given > RESOURCES_MEMBERS_LIMIT || onem2m_resource_set_texts(content, "mid", unique, count);
}

static struct outcome group_create(struct agent *agent, const struct request *request)
{
    char name[RESOURCES_NAME_LIMIT + 1];
    char ri[RESOURCES_NAME_LIMIT + 3];
    struct onem2m_resource *content = onem2m_resource_asked(request->primitive, ONEM2M_GROUP);
    struct outcome outcome = {.rsc = ONEM2M_BAD_REQUEST};

    if (content == NULL) {
        return outcome;
    }
    if (request->client->role == ROLE_AE &&
        resources_groups_of(&agent->resources, request->originator) >= RESOURCES_GROUPS_OF_AE_LIMIT) {
        onem2m_resource_free(content);
        return (struct outcome){.rsc = ONEM2M_NOT_ACCEPTABLE};
    }
    const char *asked = onem2m_resource_text(content, "rn");
    bool valid = asked[0] == '\0' || resource_name_valid(asked);
    if (asked[0] == '\0') {
        snprintf(name, sizeof(name), "grp-%llx", (unsigned long long)++agent->sequence);
    } else {
        snprintf(name, sizeof(name), "%s", asked);
    }
    snprintf(ri, sizeof(ri), "g-%s", name);
    if (valid && members_unique(content)) {
        outcome.rsc = members_check(agent, content);
    }
    if (outcome.rsc == ONEM2M_OK &&
        onem2m_resource_set_number(content, "mt", onem2m_resource_number(content, "mt", MIXED)) &&
        onem2m_resource_set_number(content, "csy", onem2m_resource_number(content, "csy", 1))) {
        return hosting_add(agent, ri, name, request->originator, content);
    }
    onem2m_resource_free(content);
    return outcome;
}

static struct outcome resource_update(struct agent *agent, const struct onem2m_primitive *request,
                                      struct resource *resource)
{
    char now[ONEM2M_TIME_SIZE];
    struct onem2m_resource *content = onem2m_resource_updated(resource->content, request);
    struct outcome outcome = {.rsc = ONEM2M_BAD_REQUEST};

    if (content == NULL) {
        return outcome;
    }
    time_now(agent, now);
    outcome.rsc = ONEM2M_OK;
    if (onem2m_resource_type(content) == ONEM2M_GROUP) {
        outcome.rsc = members_unique(content) ? members_check(agent, content) : ONEM2M_BAD_REQUEST;
    }
    if (outcome.rsc != ONEM2M_OK || !onem2m_resource_set_text(content, "lt", now)) {
        onem2m_resource_free(content);
        return outcome;
    }
    resource_replace(resource, content);
    (void)resource_keep(agent, resource);
    return (struct outcome){.rsc = ONEM2M_UPDATED, .content = content};
}

static bool originator_may(const struct agent *agent, const char *originator, const struct resource *resource)
{
    return strcmp(originator, resource->creator) == 0 || strcmp(originator, agent->rule.in_cse) == 0;
}

struct outcome hosting_operate(struct agent *agent, const struct onem2m_primitive *request,
                               const char *originator, struct resource *resource)
{
    if (!originator_may(agent, originator, resource)) {
        return (struct outcome){.rsc = ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE};
    }
    switch (onem2m_op(request)) {
    case ONEM2M_RETRIEVE:
        return (struct outcome){.rsc = ONEM2M_OK, .content = resource->content};
    case ONEM2M_UPDATE:
        return resource_update(agent, request, resource);
    case ONEM2M_DELETE:
        (void)line_keep(agent, LINE_GONE, resource->ri, strlen(resource->ri));
        resource_remove(&agent->resources, resource);
        return (struct outcome){.rsc = ONEM2M_DELETED};
    case ONEM2M_CREATE: /* neither an <AE> nor a <group> has children here */
    case ONEM2M_NOTIFY:
        break;
    }
    return (struct outcome){.rsc = ONEM2M_OPERATION_NOT_ALLOWED};
}

/* The <CSEBase>, made when it is asked for: it holds nothing that changes. */
static struct onem2m_resource *base_new(const struct agent *agent)
{
    static const int held[] = {ONEM2M_AE, ONEM2M_CSE_BASE, ONEM2M_GROUP};
    static const char *const releases[] = {"2a", "3"};
    char csi[ONEM2M_ID_LIMIT + 2];
    struct onem2m_resource *base = onem2m_resource_new(ONEM2M_CSE_BASE);

    snprintf(csi, sizeof(csi), "/%s", agent->rule.cse_level);
    if (base != NULL && onem2m_resource_set_text(base, "rn", agent->rule.cse_level) &&
        onem2m_resource_set_text(base, "ri", agent->rule.cse_level) &&
        onem2m_resource_set_number(base, "ty", (int)ONEM2M_CSE_BASE) &&
        onem2m_resource_set_number(base, "cst", CSE_TYPE_MN) && onem2m_resource_set_text(base, "csi", csi) &&
        onem2m_resource_set_numbers(base, "srt", held, sizeof(held) / sizeof(held[0])) &&
        onem2m_resource_set_texts(base, "srv", releases, sizeof(releases) / sizeof(releases[0]))) {
        return base;
    }
    onem2m_resource_free(base);
    return NULL;
}

/* ---- requests ---- */

static struct onem2m_primitive *outcome_response(const struct agent *agent, const struct request *request,
                                                 struct outcome outcome)
{
    struct onem2m_primitive *response =
        onem2m_response(outcome.rsc, request->asker.rqi, request->client->id, agent->rule.cse_id);
    if (response != NULL && outcome.content != NULL && onem2m_wants_content(request->primitive) &&
        !onem2m_set_resource(response, outcome.content)) {
        onem2m_free(response);
        return NULL;
    }
    return response;
}

void hosting_answer(struct agent *agent, const struct request *request, struct outcome outcome)
{
    if (outcome.rsc >= ONEM2M_BAD_REQUEST) {
        agent_refusal_count(agent, (int)outcome.rsc);
        agent_note(agent, AGENT_COUNT_REQUESTS_REFUSED, AGENT_INFO, "request %s of %s is answered %d",
                   request->asker.rqi, request->client->id, (int)outcome.rsc);
    } else {
        agent_count(agent, AGENT_COUNT_RESOURCES_SERVED);
    }
    struct exchange *exchange = exchange_add(&agent->exchanges, EXCHANGE_LOCAL, &request->asker,
                                             &request->peer->waiting, NULL, NULL, agent_now(agent));
    struct onem2m_primitive *response = outcome_response(agent, request, outcome);
    if (exchange == NULL) {
        relay_answer(agent, &request->asker, ONEM2M_INTERNAL_SERVER_ERROR);
    } else if (response == NULL) {
        relay_finish_code(agent, exchange, ONEM2M_INTERNAL_SERVER_ERROR);
    } else {
        relay_finish(agent, exchange, response);
    }
    onem2m_free(response);
}

static void base_request(struct agent *agent, const struct request *request)
{
    enum onem2m_operation op = onem2m_op(request->primitive);

    if (op == ONEM2M_CREATE && onem2m_ty(request->primitive) == ONEM2M_GROUP) {
        hosting_answer(agent, request, group_create(agent, request));
    } else if (op == ONEM2M_RETRIEVE) {
        struct onem2m_resource *base = base_new(agent);
        hosting_answer(agent, request,
                       (struct outcome){.rsc = base != NULL ? ONEM2M_OK : ONEM2M_INTERNAL_SERVER_ERROR,
                                        .content = base});
        onem2m_resource_free(base);
    } else if (op == ONEM2M_CREATE) {
        relay_refuse(agent, request, ONEM2M_NOT_IMPLEMENTED,
                     "this MN-CSE holds <AE> and <group> resources only");
    } else {
        relay_refuse(agent, request, ONEM2M_OPERATION_NOT_ALLOWED, "the <CSEBase> can be retrieved only");
    }
}

/* "fopt", "fopt/…": the path behind it; NULL: not the fanOutPoint. */
static const char *fanout_suffix(const char *rest)
{
    return level_skip(&rest, "fopt") ? rest : NULL;
}

void hosting_request(struct agent *agent, const struct request *request, const struct address *address)
{
    if (onem2m_non_blocking(request->primitive)) {
        relay_refuse(agent, request, ONEM2M_NON_BLOCKING_NOT_SUPPORTED,
                     "this MN-CSE answers blocking requests only (rt 3)");
        return;
    }
    if (address->what == ADDRESS_BASE) {
        base_request(agent, request);
        return;
    }
    struct resource *resource = address->resource;
    const char *suffix =
        onem2m_resource_type(resource->content) == ONEM2M_GROUP ? fanout_suffix(address->rest) : NULL;
    if (suffix != NULL) {
        if (originator_may(agent, request->originator, resource)) {
            gathering_start(agent, request, resource, suffix);
        } else {
            relay_refuse(agent, request, ONEM2M_ORIGINATOR_HAS_NO_PRIVILEGE, "the group is another's");
        }
    } else if (address->rest[0] != '\0') {
        relay_refuse(agent, request, ONEM2M_NOT_FOUND, "its `to` names nothing below that resource");
    } else {
        hosting_answer(agent, request,
                       hosting_operate(agent, request->primitive, request->originator, resource));
    }
}
