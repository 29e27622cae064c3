/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_AGENTS_IN_CSE_COMMANDS_H
#define GROUPSEAL_AGENTS_IN_CSE_COMMANDS_H

#include "agents/in-cse/operator.h"

/*
 * The commands of in-cse. Each takes its own arguments (argv[0] is its name as the user wrote it, "in-cse
 * member add"), does its work over the operator socket, prints, and returns the exit status.
 */
enum exit_code command_member_add(int argc, char **argv);
enum exit_code command_member_import(int argc, char **argv);
enum exit_code command_member_list(int argc, char **argv);
enum exit_code command_member_evict(int argc, char **argv);
enum exit_code command_member_move(int argc, char **argv);
enum exit_code command_member_reauthenticate(int argc, char **argv);
enum exit_code command_member_confirm(int argc, char **argv);
enum exit_code command_group_release(int argc, char **argv);
enum exit_code command_group_create(int argc, char **argv);
enum exit_code command_group_list(int argc, char **argv);
enum exit_code command_group_show(int argc, char **argv);
enum exit_code command_group_set(int argc, char **argv);
enum exit_code command_group_rotate(int argc, char **argv);
enum exit_code command_group_delete(int argc, char **argv);
enum exit_code command_revocation_set(int argc, char **argv);
enum exit_code command_revocation_show(int argc, char **argv);
enum exit_code command_clock_show(int argc, char **argv);
enum exit_code command_clock_accept(int argc, char **argv);
enum exit_code command_settings(int argc, char **argv);
enum exit_code command_send(int argc, char **argv);
enum exit_code command_report(int argc, char **argv);
enum exit_code command_run(int argc, char **argv);

#endif
