/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_SERVICE_CONFINEMENT_H
#define GROUPSEAL_SECENV_SERVICE_CONFINEMENT_H

#include "secenv/result.h"

/*
 * From here to its end this process has only the system calls that serving needs (the lists are in
 * confinement.c). Any other ends it at once by SIGSYS: whoever takes it over by what it reads opens no file,
 * makes no socket, process, thread or executable memory, and reaches no other process. There is no way back.
 *
 * Entered when everything is open: store (store_settle), engine, sockets. Where the kernel has no system call
 * filters the log warns and the process goes on; that it has them and one cannot be set is an error.
 */
enum result confinement_enter(struct reason *why) MUST_USE;

#endif
