/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/program.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "secenv/service/limit_options.h"

struct settings {
    const char *store;
    const char *root_key;
    const char *id;
    const char *groups;
    bool takes_away;
    struct limit_options limit;
};

enum option_key {
    OPTION_STORE = 0x100,
    OPTION_ROOT_KEY,
    OPTION_ID,
    OPTION_GROUPS,
    OPTION_REMOVE,
};

static const struct argp_option options[] = {
    {"store", OPTION_STORE, "DIR", 0, "The (stopped) store's directory (required)", 1},
    {"root-key", OPTION_ROOT_KEY, "FILE", 0, "Its root key (default: root.key in the store)", 1},
    {"id", OPTION_ID, "ABS", 0, "The identity to limit; without it all are shown", 1},
    {"groups", OPTION_GROUPS, "PATTERN", 0,
     "For one group, or with a * for those that begin so (default: *, all of them)", 1},
    {"remove", OPTION_REMOVE, NULL, 0, "Take the limit for these groups away", 1},
    {NULL, 0, NULL, 0, NULL, 0},
};

/* ---- print ---- */

static cJSON *rights_list(unsigned rights)
{
    static const enum owner_right each[] = {OWNER_RELAY, OWNER_READ, OWNER_SEND, OWNER_COMMAND};
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < sizeof(each) / sizeof(each[0]); i++) {
        char word[RIGHTS_TEXT_SIZE];
        rights_print(each[i], word);
        if ((rights & (unsigned)each[i]) != 0 && !cJSON_AddItemToArray(list, cJSON_CreateString(word))) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static bool put(cJSON *object, const char *name, cJSON *value)
{
    return value != NULL && cJSON_AddItemToObject(object, name, value) != 0;
}

static bool rule_put(cJSON *list, const char *identity, enum identity_kind kind, const struct limit *rule)
{
    cJSON *object = cJSON_CreateObject();
    bool member = kind != IDENTITY_IN_CSE;
    bool good = object != NULL && put(object, "identity", cJSON_CreateString(identity)) &&
                (!member || (put(object, "groups", cJSON_CreateString(rule->pattern)) &&
                             put(object, "allow", rights_list(rule->rights)))) &&
                put(object, "rate", cJSON_CreateNumber((double)rule->rate)) &&
                put(object, "burst", cJSON_CreateNumber((double)rule->burst)) &&
                cJSON_AddItemToArray(list, object) != 0;
    if (!good) {
        cJSON_Delete(object);
    }
    return good;
}

struct printing {
    struct store *store;
    const char *only; /* NULL: all identities */
    cJSON *list;
};

static enum result identity_row(void *context, const struct store_row *row, struct reason *why)
{
    struct printing *printing = context;
    const char *name = row_text(row, 0);
    enum identity_kind kind = (enum identity_kind)row_int(row, 1);
    struct limits limits;
    if (printing->only != NULL && strcmp(printing->only, name) != 0) {
        return RESULT_OK;
    }
    GUARD(limits_load(printing->store, name, kind, &limits, why));
    bool good = true;
    for (size_t i = 0; good && i < limits.count; i++) {
        good = rule_put(printing->list, name, kind, &limits.rules[i]);
    }
    limits_clear(&limits);
    return good ? RESULT_OK : result_fail(why, RESULT_INTERNAL, "memory is short");
}

static enum result limits_print(struct store *store, const char *only, struct reason *why)
{
    struct printing printing = {store, only, cJSON_CreateArray()};
    enum result result = printing.list == NULL
                             ? RESULT_INTERNAL
                             : store_query(store, why, identity_row, &printing,
                                           "SELECT name, kind FROM identity ORDER BY name", "");
    char *text = result == RESULT_OK ? cJSON_Print(printing.list) : NULL;
    cJSON_Delete(printing.list);
    if (result == RESULT_OK && (text == NULL || puts(text) == EOF || fflush(stdout) != 0)) {
        result = result_fail(why, RESULT_INTERNAL, "the output cannot be written");
    }
    cJSON_free(text);
    return result;
}

/* ---- change ---- */

static enum result kind_row(void *context, const struct store_row *row, struct reason *why)
{
    (void)why;
    *(enum identity_kind *)context = (enum identity_kind)row_int(row, 0);
    return RESULT_OK;
}

static enum result limit_change(const struct settings *settings, struct store *store, struct reason *why)
{
    enum identity_kind kind = (enum identity_kind)0;
    GUARD(store_query(store, why, kind_row, &kind, "SELECT kind FROM identity WHERE name = ?", "t",
                      settings->id));
    if (kind == 0) {
        return result_fail(why, RESULT_UNKNOWN, "%.128s is not in this store", settings->id);
    }
    return settings->takes_away
               ? limits_remove(store, settings->id, settings->groups, why)
               : limit_options_store(&settings->limit, store, settings->id, kind, settings->groups, why);
}

static enum result limit_run(const struct settings *settings, struct store *store, struct reason *why)
{
    GUARD(store_begin(store, why));
    enum result result = RESULT_OK;
    if (settings->takes_away || limit_options_given(&settings->limit)) {
        result = limit_change(settings, store, why);
    }
    if (result == RESULT_OK) {
        result = store_commit(store, why);
    } else {
        store_rollback(store);
    }
    return result == RESULT_OK ? limits_print(store, settings->id, why) : result;
}

/* ---- arguments ---- */

static void settings_check(struct settings *settings, struct argp_state *state)
{
    bool change = settings->takes_away || limit_options_given(&settings->limit);
    if (settings->store == NULL) {
        argp_error(state, "--store is needed");
    }
    if (settings->takes_away && limit_options_given(&settings->limit)) {
        argp_error(state, "--remove takes a limit away: there is nothing to set beside it");
    }
    if (change && settings->id == NULL) {
        argp_error(state, "--id is missing: whose limit it is");
    }
    if (!change && settings->groups != NULL) {
        argp_error(state, "--groups needs --allow, --rate, --burst or --remove");
    }
    if (settings->groups == NULL) {
        settings->groups = "*";
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &settings->limit;
        return 0;
    case OPTION_STORE:
        settings->store = argument;
        return 0;
    case OPTION_ROOT_KEY:
        settings->root_key = argument;
        return 0;
    case OPTION_ID:
        settings->id = argument;
        return 0;
    case OPTION_GROUPS:
        settings->groups = argument;
        return 0;
    case OPTION_REMOVE:
        settings->takes_away = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: `limit' takes options only", argument);
        return 0;
    case ARGP_KEY_END:
        settings_check(settings, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int command_limit(int argc, char **argv)
{
    static const char documentation[] =
        "Sets how far the owner may use an identity's keys, in a store that is not in use, and prints the "
        "limits as JSON. The limit that counts for a group is its own, else the longest that fits.";
    const struct argp_child children[] = {{&limit_options_argp, 0, NULL, 0}, {NULL, 0, NULL, 0}};
    const struct argp argp = {options, parse_option, "", documentation, children, NULL, NULL};
    struct settings settings = {.store = NULL};
    struct reason why = {""};
    struct store *store = NULL;
    if (argp_parse(&argp, argc, argv, 0, NULL, &settings) != 0) {
        return EXIT_USAGE;
    }
    secret_forbid_dumps();
    enum result result = program_store_open(settings.store, STORE_ANY, settings.root_key, &store, &why);
    if (result == RESULT_OK) {
        result = limit_run(&settings, store, &why);
        store_close(store);
    }
    return result == RESULT_OK ? EXIT_DONE
                               : program_fail("%s", why.text[0] == '\0' ? result_word(result) : why.text);
}
