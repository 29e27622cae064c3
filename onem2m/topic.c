/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "onem2m/topic.h"

#include <stdio.h>
#include <string.h>

#define LEVELS_MAX 7u

static const char *const tree_names[] = {[ONEM2M_REQ] = "req",
                                         [ONEM2M_RESP] = "resp",
                                         [ONEM2M_REG_REQ] = "reg_req",
                                         [ONEM2M_REG_RESP] = "reg_resp"};

/* Cuts the topic at its slashes, in place; 0: more than LEVELS_MAX levels. */
static size_t topic_split(char *topic, char *levels[LEVELS_MAX])
{
    size_t count = 0;
    while (topic != NULL) {
        if (count == LEVELS_MAX) {
            return 0;
        }
        levels[count++] = topic;
        topic = strchr(topic, '/');
        if (topic != NULL) {
            *topic++ = '\0';
        }
    }
    return count;
}

static bool topic_copy(const char *topic, char copy[ONEM2M_TOPIC_LIMIT + 1])
{
    size_t length = strnlen(topic, ONEM2M_TOPIC_LIMIT + 1);
    if (length > ONEM2M_TOPIC_LIMIT) {
        return false;
    }
    memcpy(copy, topic, length + 1);
    return true;
}

/* A level that names an entity: printable ASCII (a Credential-ID may hold an '@') without wildcards. */
static bool level_valid(const char *level)
{
    size_t length = 0;
    for (; level[length] != '\0'; length++) {
        if (level[length] <= ' ' || level[length] > '~' || strchr("+#/", level[length]) != NULL) {
            return false;
        }
    }
    return length > 0 && length <= ONEM2M_LEVEL_LIMIT;
}

static bool level_copy(const char *level, char *out)
{
    if (!level_valid(level)) {
        return false;
    }
    memcpy(out, level, strlen(level) + 1);
    return true;
}

bool onem2m_topic_parse(const char *topic, struct onem2m_topic *out)
{
    char copy[ONEM2M_TOPIC_LIMIT + 1];
    char *levels[LEVELS_MAX];
    memset(out, 0, sizeof *out);
    if (!topic_copy(topic, copy) || topic_split(copy, levels) != 6 || levels[0][0] != '\0' ||
        strcmp(levels[1], "oneM2M") != 0) {
        return false;
    }
    for (enum onem2m_tree tree = ONEM2M_REQ; tree <= ONEM2M_REG_RESP; tree++) {
        if (strcmp(levels[2], tree_names[tree]) == 0) {
            out->tree = tree;
        }
    }
    const char *serialisation = levels[5];
    if (out->tree == 0 || (strcmp(serialisation, "json") != 0 && strcmp(serialisation, "xml") != 0 &&
                           strcmp(serialisation, "cbor") != 0)) {
        return false;
    }
    memcpy(out->serialisation, serialisation, strlen(serialisation) + 1);
    return level_copy(levels[3], out->originator) && level_copy(levels[4], out->receiver);
}

bool onem2m_topic_build(enum onem2m_tree tree, const char *originator, const char *receiver, char *out,
                        size_t size)
{
    if (tree < ONEM2M_REQ || tree > ONEM2M_REG_RESP || !level_valid(originator) || !level_valid(receiver)) {
        return false;
    }
    int length = snprintf(out, size, "/oneM2M/%s/%s/%s/json", tree_names[tree], originator, receiver);
    return length > 0 && (size_t)length < size && (size_t)length <= ONEM2M_TOPIC_LIMIT;
}

/* Site and group names: [A-Za-z0-9._-]{1,64}. */
static bool name_valid(const char *name)
{
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return length > 0 && length <= 64 && name[length] == '\0';
}

#define NUMBER_MAX 999999999u

/* A decimal number of at most 9 digits, written in one way only. */
static bool number_parse(const char *text, unsigned *out)
{
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 9 || text[length] != '\0' || (text[0] == '0' && length > 1)) {
        return false;
    }
    *out = 0;
    for (; *text != '\0'; text++) {
        *out = *out * 10 + (unsigned)(*text - '0');
    }
    return true;
}

/* The levels below groupseal/v1/<site>/<group>/. */
static bool group_place_parse(char *const levels[], size_t count, struct group_topic *out)
{
    static const struct {
        const char *name;
        size_t levels;
        enum group_topic_kind kind;
    } places[] = {{"cmd", 1, GROUP_CMD},     {"msg", 2, GROUP_MSG},   {"ack", 2, GROUP_ACK},
                  {"epoch", 1, GROUP_EPOCH}, {"tree", 3, GROUP_TREE}, {"policy", 1, GROUP_POLICY}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (count == places[i].levels && strcmp(levels[0], places[i].name) == 0) {
            out->kind = places[i].kind;
        }
    }
    switch (out->kind) {
    case GROUP_MSG:
    case GROUP_ACK:
        return level_copy(levels[1], out->ae);
    case GROUP_TREE:
        return number_parse(levels[1], &out->row) && number_parse(levels[2], &out->column);
    case GROUP_CMD:
    case GROUP_EPOCH:
    case GROUP_POLICY:
        return true;
    default:
        return false;
    }
}

bool group_topic_parse(const char *topic, struct group_topic *out)
{
    char copy[ONEM2M_TOPIC_LIMIT + 1];
    char *levels[LEVELS_MAX];
    memset(out, 0, sizeof *out);
    if (!topic_copy(topic, copy)) {
        return false;
    }
    size_t count = topic_split(copy, levels);
    if (count < 5 || strcmp(levels[0], "groupseal") != 0 || strcmp(levels[1], "v1") != 0 ||
        !name_valid(levels[2]) || !name_valid(levels[3])) {
        return false;
    }
    memcpy(out->site, levels[2], strlen(levels[2]) + 1);
    memcpy(out->group, levels[3], strlen(levels[3]) + 1);
    return group_place_parse(levels + 4, count - 4, out);
}

static int group_place_print(const struct group_topic *topic, char *out, size_t size)
{
    switch (topic->kind) {
    case GROUP_CMD:
        return snprintf(out, size, "cmd");
    case GROUP_MSG:
        return level_valid(topic->ae) ? snprintf(out, size, "msg/%s", topic->ae) : -1;
    case GROUP_ACK:
        return level_valid(topic->ae) ? snprintf(out, size, "ack/%s", topic->ae) : -1;
    case GROUP_EPOCH:
        return snprintf(out, size, "epoch");
    case GROUP_TREE:
        return topic->row <= NUMBER_MAX && topic->column <= NUMBER_MAX
                   ? snprintf(out, size, "tree/%u/%u", topic->row, topic->column)
                   : -1;
    case GROUP_POLICY:
        return snprintf(out, size, "policy");
    }
    return -1;
}

bool group_topic_build(const struct group_topic *topic, char *out, size_t size)
{
    char place[ONEM2M_LEVEL_LIMIT + 32];
    int length = group_place_print(topic, place, sizeof place);
    if (length < 0 || (size_t)length >= sizeof place || !name_valid(topic->site) ||
        !name_valid(topic->group)) {
        return false;
    }
    length = snprintf(out, size, "groupseal/v1/%s/%s/%s", topic->site, topic->group, place);
    return length > 0 && (size_t)length < size && (size_t)length <= ONEM2M_TOPIC_LIMIT;
}

const char *topic_filter_unshared(const char *filter)
{
    static const char prefix[] = "$share/";
    if (strncmp(filter, prefix, sizeof prefix - 1) != 0) {
        return filter;
    }
    const char *slash = strchr(filter + sizeof prefix - 1, '/');
    return slash != NULL ? slash + 1 : filter;
}

/* True where the filter's level is `name` or a wildcard that matches it. */
static bool level_reaches(const char *level, const char *name)
{
    size_t length = strcspn(level, "/");
    return (length == strlen(name) && strncmp(level, name, length) == 0) || (length == 1 && *level == '+') ||
           *level == '#';
}

bool group_topic_touches(const char *topic_or_filter)
{
    return level_reaches(topic_filter_unshared(topic_or_filter), "groupseal");
}

bool onem2m_topic_touches(const char *topic_or_filter)
{
    const char *first = topic_filter_unshared(topic_or_filter);
    if (*first == '#') {
        return true;
    }
    const char *second = strchr(first, '/');
    return second != NULL && level_reaches(first, "") && level_reaches(second + 1, "oneM2M");
}
