/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_MEMBER_HOLDERS_H
#define GROUPSEAL_SECENV_MEMBER_HOLDERS_H

#include "secenv/member/holder.h"
#include "secenv/objects/object.h"

struct relay;

/*
 * Who holds which epoch, at the MN-CSE: the epoch of the newest message that each device of its site has
 * signed (the replay rows have it over a start). A device that has not an epoch when the window of holding.h
 * and a grace are over is behind. The authority is told in HOLDINGS what has changed, one record at a time,
 * the next when that is accepted: after an epoch's window, then at most every HOLDERS_GAP_US. After a start
 * all is told anew.
 */
#define HOLDERS_GAP_US 10000000u
#define HOLDERS_START_SIZE 8u

struct holders {
    uint8_t start[HOLDERS_START_SIZE]; /* random, of this start */
    uint64_t entered;                  /* the newest epoch … */
    uint64_t entered_us;               /* … and since when it is here, monotonic */
    uint64_t looked;                   /* the epoch that all should have; 0: none yet */
    uint64_t look;                     /* the one that is looked for next … */
    uint64_t look_since_us;            /* … which came then … */
    uint64_t look_due_us;              /* … and is looked for then; NEVER */
    bool changed;                      /* there is something to tell */
    bool more;                         /* than one record had room for */
    uint64_t told_us;                  /* 0: never */
};

enum result holders_open(struct relay *relay, struct reason *why) MUST_USE;
/* It has signed something in this epoch. */
void holders_heard(struct relay *relay, const char *name, uint64_t epoch);
/* The authority did not take what it was told: all of it is told anew, later. */
void holders_refused(struct relay *relay);
enum result holders_turn(struct relay *relay, uint64_t *next, struct reason *why) MUST_USE;

#endif
