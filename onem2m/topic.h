#ifndef GROUPSEAL_ONEM2M_TOPIC_H
#define GROUPSEAL_ONEM2M_TOPIC_H

#include "onem2m/identifier.h"

/* TS-0010 6.4 and 6.5.4 topics and Groupseal's group topics: parsed, built, matched. Pure code, no
 * allocation. */
enum onem2m_tree { ONEM2M_REQ = 1, ONEM2M_RESP, ONEM2M_REG_REQ, ONEM2M_REG_RESP };

#define ONEM2M_TOPIC_LIMIT 512u
#define ONEM2M_LEVEL_LIMIT 128u

struct onem2m_topic {
    enum onem2m_tree tree;
    char originator[ONEM2M_LEVEL_LIMIT + 1]; /* as in the topic; on reg_* the Credential-ID */
    char receiver[ONEM2M_LEVEL_LIMIT + 1];
    char serialisation[8]; /* "json", "xml", "cbor" */
};

/* "/oneM2M/req/<originator>/<receiver>/json"; false: not a topic of the four trees, wildcards, over a limit.
 */
bool onem2m_topic_parse(const char *topic, struct onem2m_topic *out);
bool onem2m_topic_build(enum onem2m_tree tree, const char *originator, const char *receiver, char *out,
                        size_t size);

/* Group topics: groupseal/v1/<site>/<group>/{cmd,msg/<AE>,ack/<AE>,epoch,tree/<row>/<column>,policy} */
enum group_topic_kind {
    GROUP_CMD = 1,
    GROUP_MSG,
    GROUP_ACK,
    GROUP_EPOCH,
    GROUP_TREE,
    GROUP_POLICY
}; /* as TopicKind */

struct group_topic {
    char site[65];
    char group[65];
    enum group_topic_kind kind;
    char ae[ONEM2M_LEVEL_LIMIT + 1]; /* level as in the topic (msg, ack) */
    unsigned row;
    unsigned column;
};
bool group_topic_parse(const char *topic, struct group_topic *out);
bool group_topic_build(const struct group_topic *topic, char *out, size_t size);
/* True where a topic or filter lies in, or with wildcards could reach, `groupseal/` (first level "groupseal",
 * "+" or "#"). */
bool group_topic_touches(const char *topic_or_filter);
/* True where it lies in, or could reach, the four oneM2M trees ("/oneM2M/…", "+/oneM2M/…", "#", "/#",
 * "+/+/…"). */
bool onem2m_topic_touches(const char *topic_or_filter);
/* A subscription filter without its "$share/<name>/" prefix; the filter itself where it has none. */
const char *topic_filter_unshared(const char *filter);

#endif
