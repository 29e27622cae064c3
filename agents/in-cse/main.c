/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/commands.h"

#include <stdio.h>
#include <string.h>

const char *argp_program_version = "in-cse (Groupseal) 0.1.0";

static const struct {
    const char *first;
    const char *second; /* NULL: one word */
    char *name;         /* as the command's own help calls it */
    enum exit_code (*command)(int argc, char **argv);
    const char *arguments;
    const char *help;
} commands[] = {
    {"run", NULL, (char[]){"in-cse run"}, command_run, "", "run the IN-CSE's network side"},
    {"member", "add", (char[]){"in-cse member add"}, command_member_add, "NAME", "enrol a member"},
    {"member", "import", (char[]){"in-cse member import"}, command_member_import, "FILE.csv",
     "enrol the members in a CSV file"},
    {"member", "list", (char[]){"in-cse member list"}, command_member_list, "", "list the members"},
    {"member", "evict", (char[]){"in-cse member evict"}, command_member_evict, "NAME...", "end memberships"},
    {"member", "move", (char[]){"in-cse member move"}, command_member_move, "NAME",
     "move a device to another MN-CSE"},
    {"member", "reauthenticate", (char[]){"in-cse member reauthenticate"}, command_member_reauthenticate,
     "NAME", "ask for a new authentication"},
    {"member", "confirm", (char[]){"in-cse member confirm"}, command_member_confirm, "NAME...",
     "admit members again after a new incarnation"},
    {"group", "create", (char[]){"in-cse group create"}, command_group_create, "NAME", "make a group"},
    {"group", "list", (char[]){"in-cse group list"}, command_group_list, "", "list the groups"},
    {"group", "show", (char[]){"in-cse group show"}, command_group_show, "NAME",
     "show a group and its members"},
    {"group", "set", (char[]){"in-cse group set"}, command_group_set, "NAME", "change a group's policy"},
    {"group", "rotate", (char[]){"in-cse group rotate"}, command_group_rotate, "NAME",
     "give a group a new key"},
    {"group", "delete", (char[]){"in-cse group delete"}, command_group_delete, "NAME", "end a group"},
    {"group", "release", (char[]){"in-cse group release"}, command_group_release, "NAME",
     "change a held group without its MN-CSEs' answer"},
    {"revocation", "set", (char[]){"in-cse revocation set"}, command_revocation_set, "FILE",
     "give the authority a newer CRL"},
    {"revocation", "show", (char[]){"in-cse revocation show"}, command_revocation_show, "",
     "show the CRLs in use, and who has them"},
    {"clock", "show", (char[]){"in-cse clock show"}, command_clock_show, "",
     "show the authority's time, and whether it follows the system clock"},
    {"clock", "accept", (char[]){"in-cse clock accept"}, command_clock_accept, "",
     "say that the system clock is right"},
    {"settings", NULL, (char[]){"in-cse settings"}, command_settings, "",
     "show or change what holds for the authority"},
    {"send", NULL, (char[]){"in-cse send"}, command_send, "GROUP PAYLOAD", "send a command to a group"},
    {"report", NULL, (char[]){"in-cse report"}, command_report, "[COMMAND-ID]",
     "show the newest commands, or what became of one"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
    fputs("Usage: in-cse COMMAND [ARGUMENTS] [OPTIONS]\n"
          "The IN-CSE of a Groupseal fleet: its network side, and its operator's commands.\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++) {
        char words[64];
        snprintf(words, sizeof(words), "%s%s%s %s", commands[i].first, commands[i].second != NULL ? " " : "",
                 commands[i].second != NULL ? commands[i].second : "", commands[i].arguments);
        fprintf(out, "  %-30s %s\n", words, commands[i].help);
    }
    fputs("\n`in-cse COMMAND --help` shows the options of a command; see in-cse(1).\n"
          "Exit status: 0 done, 1 error, 2 usage, 3 a member failed, refused or does not know, 4 a member "
          "did not\n"
          "answer in time, 5 the secure environment cannot be reached, 6 it may have been done, but the "
          "secure\n"
          "environment went away.\n",
          out);
}

int main(int argc, char **argv)
{
    argp_err_exit_status = EXIT_USAGE;
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)) {
        usage(stdout);
        return EXIT_DONE;
    }
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        puts(argp_program_version);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        int words = commands[i].second != NULL ? 2 : 1;
        if (argc > words && strcmp(argv[1], commands[i].first) == 0 &&
            (words == 1 || strcmp(argv[2], commands[i].second) == 0)) {
            argv[words] = commands[i].name;
            return (int)commands[i].command(argc - words, argv + words);
        }
    }
    usage(stderr);
    return EXIT_USAGE;
}
