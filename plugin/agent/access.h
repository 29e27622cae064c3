/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_PLUGIN_ACCESS_H
#define GROUPSEAL_PLUGIN_ACCESS_H

#include "plugin/agent/agent.h"
#include "plugin/agent/identity.h"
#include "plugin/agent/roster.h"

/*
 * The topic table (DESIGN section 3; TS-0010 7.4 as far as it is consistent). X is the client, me this
 * MN-CSE:
 *
 *   publish     req/X/me   resp/me/X   reg_req/<X>/me        msg/<X>  ack/<X>          of X's groups here
 *   read        req/me/X   resp/X/me   reg_resp/<X>/me       cmd  msg/<any>  epoch  tree/<any>  policy
 *   subscribe   filters that lie within what X may read, where the other party may be "+" and the rest "#"
 *
 * Nothing that clients publish is retained. Requests and responses to this MN-CSE have no reader. A filter
 * with a wildcard where the name of our trees stands ("#", "+/…") reaches outside too: it is foreign, and
 * reading protects. Pure, no allocation.
 */
struct access_view {
    const struct identity_rule *rule;
    const struct rosters *rosters;
};

enum agent_answer access_decide(const struct access_view *view, const struct identity *client,
                                const struct agent_attempt *attempt);

/* True where a reg_* topic's Credential-ID level is the client's. */
bool access_credential_is(const struct access_view *view, const struct identity *client, const char *level);

#endif
