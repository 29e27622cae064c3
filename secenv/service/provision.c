/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/service/program.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secenv/credentials.h"
#include "secenv/log.h"
#include "secenv/service/limit_options.h"

#define FILE_LIMIT ((size_t)64 * 1024)
#define CRL_FILE_LIMIT ((size_t)6 * 1024 * 1024)

struct settings {
    const char *store;
    const char *root_key;
    enum store_profile profile;
    const char *id;
    const char *in_cse;
    enum identity_kind kind;
    enum credentials_mode mode;
    const char *certificate;
    const char *private_key;
    const char *trust_anchors;
    const char *crl;
    enum unrevoked unrevoked;
    const char *psk_file;
    const char *psk_identity;
    bool replace;
    struct limit_options limit;
};

enum option_key {
    OPTION_STORE = 0x100,
    OPTION_ROOT_KEY,
    OPTION_PROFILE,
    OPTION_ID,
    OPTION_KIND,
    OPTION_IN_CSE,
    OPTION_MODE,
    OPTION_CERTIFICATE,
    OPTION_PRIVATE_KEY,
    OPTION_TRUST_ANCHORS,
    OPTION_CRL,
    OPTION_WITHOUT_CRL,
    OPTION_PSK_FILE,
    OPTION_PSK_IDENTITY,
    OPTION_REPLACE,
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Store:", 1},
    {"store", OPTION_STORE, "DIR", 0, "The store's directory; it is made where there is none (required)", 1},
    {"profile", OPTION_PROFILE, "PROFILE", 0, "authority (of an IN-CSE) or member (required)", 1},
    {"root-key", OPTION_ROOT_KEY, "FILE", 0,
     "Its root key (default: root.key in the store), made where there is none", 1},
    {NULL, 0, NULL, 0, "Identity:", 2},
    {"id", OPTION_ID, "ABS", 0, "Absolute id, as //sp.example/Sdoor1; without it only the store is made", 2},
    {"kind", OPTION_KIND, "KIND", 0, "adn-ae, mn-cse or in-cse", 2},
    {"in-cse", OPTION_IN_CSE, "ABS", 0, "Absolute id of the IN-CSE, the only one that is accepted", 2},
    {"mode", OPTION_MODE, "MODE", 0, "cert or psk", 2},
    {"replace", OPTION_REPLACE, NULL, 0, "Replace the credentials of an identity that is there", 2},
    {NULL, 0, NULL, 0, "With --mode cert, PEM files:", 3},
    {"certificate", OPTION_CERTIFICATE, "FILE", 0, "End-to-end certificate, then its chain", 3},
    {"private-key", OPTION_PRIVATE_KEY, "FILE", 0, "Its private key", 3},
    {"trust-anchors", OPTION_TRUST_ANCHORS, "FILE", 0, "The end-to-end CA", 3},
    {"crl", OPTION_CRL, "FILE", 0, "Certificates that the CA revoked", 3},
    {"without-crl", OPTION_WITHOUT_CRL, "WORD", 0,
     "What certificates are met with where there is no such list or it is overdue: refuse (default of an "
     "in-cse) or "
     "alarm (default of others)",
     3},
    {NULL, 0, NULL, 0, "With --mode psk:", 4},
    {"psk-file", OPTION_PSK_FILE, "FILE", 0, "The pre-shared key, 64 hexadecimal characters", 4},
    {"psk-identity", OPTION_PSK_IDENTITY, "TEXT", 0, "Its identity (default: the id)", 4},
    {NULL, 0, NULL, 0, NULL, 0},
};

/* ---- arguments ---- */

static enum identity_kind kind_of(const char *word)
{
    return strcmp(word, "adn-ae") == 0   ? IDENTITY_ADN_AE
           : strcmp(word, "mn-cse") == 0 ? IDENTITY_MN_CSE
           : strcmp(word, "in-cse") == 0 ? IDENTITY_IN_CSE
                                         : (enum identity_kind)0;
}

static void mode_check(const struct settings *settings, struct argp_state *state)
{
    bool certificates = settings->certificate != NULL || settings->private_key != NULL ||
                        settings->trust_anchors != NULL || settings->crl != NULL ||
                        settings->unrevoked != UNREVOKED_DEFAULT;
    bool psk = settings->psk_file != NULL || settings->psk_identity != NULL;
    if (settings->mode == CREDENTIALS_CERT) {
        if (psk || settings->certificate == NULL || settings->private_key == NULL ||
            settings->trust_anchors == NULL) {
            argp_error(state,
                       "--mode cert needs --certificate, --private-key and --trust-anchors, and no PSK");
        }
    } else if (certificates || settings->psk_file == NULL) {
        argp_error(state, "--mode psk needs --psk-file, and no certificates");
    }
}

static void settings_check(struct settings *settings, struct argp_state *state)
{
    if (settings->store == NULL || settings->profile == STORE_ANY) {
        argp_error(state, "--store and --profile are needed");
    }
    if (settings->id == NULL) {
        if (settings->kind != 0 || settings->mode != 0 || settings->in_cse != NULL || settings->replace ||
            limit_options_given(&settings->limit)) {
            argp_error(state, "--id is missing");
        }
        return;
    }
    if (settings->kind == 0 || settings->mode == 0) {
        argp_error(state, "--id needs --kind and --mode");
    }
    if ((settings->kind == IDENTITY_IN_CSE) != (settings->profile == STORE_AUTHORITY)) {
        argp_error(state, "--profile authority is for --kind in-cse, and only for that");
    }
    if (settings->in_cse == NULL && settings->kind == IDENTITY_IN_CSE) {
        settings->in_cse = settings->id;
    }
    if (settings->in_cse == NULL) {
        argp_error(state, "--in-cse is missing");
    }
    mode_check(settings, state);
}

static error_t parse_word(struct settings *settings, int key, const char *argument, struct argp_state *state)
{
    if (key == OPTION_PROFILE) {
        settings->profile = strcmp(argument, "authority") == 0 ? STORE_AUTHORITY
                            : strcmp(argument, "member") == 0  ? STORE_MEMBER
                                                               : STORE_ANY;
        if (settings->profile == STORE_ANY) {
            argp_error(state, "--profile is authority or member, not %s", argument);
        }
    } else if (key == OPTION_KIND) {
        settings->kind = kind_of(argument);
        if (settings->kind == 0) {
            argp_error(state, "--kind is adn-ae, mn-cse or in-cse, not %s", argument);
        }
    } else if (key == OPTION_WITHOUT_CRL) {
        settings->unrevoked = strcmp(argument, "refuse") == 0  ? UNREVOKED_REFUSE
                              : strcmp(argument, "alarm") == 0 ? UNREVOKED_ALARM
                                                               : UNREVOKED_DEFAULT;
        if (settings->unrevoked == UNREVOKED_DEFAULT) {
            argp_error(state, "--without-crl is refuse or alarm, not %s", argument);
        }
    } else {
        settings->mode = strcmp(argument, "cert") == 0  ? CREDENTIALS_CERT
                         : strcmp(argument, "psk") == 0 ? CREDENTIALS_PSK
                                                        : (enum credentials_mode)0;
        if (settings->mode == 0) {
            argp_error(state, "--mode is cert or psk, not %s", argument);
        }
    }
    return 0;
}

/* Where an option's text is kept; NULL for those that are more than text. */
static const char **text_place(struct settings *settings, int key)
{
    switch (key) {
    case OPTION_STORE:
        return &settings->store;
    case OPTION_ROOT_KEY:
        return &settings->root_key;
    case OPTION_ID:
        return &settings->id;
    case OPTION_IN_CSE:
        return &settings->in_cse;
    case OPTION_CERTIFICATE:
        return &settings->certificate;
    case OPTION_PRIVATE_KEY:
        return &settings->private_key;
    case OPTION_TRUST_ANCHORS:
        return &settings->trust_anchors;
    case OPTION_CRL:
        return &settings->crl;
    case OPTION_PSK_FILE:
        return &settings->psk_file;
    case OPTION_PSK_IDENTITY:
        return &settings->psk_identity;
    default:
        return NULL;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    const char **place = text_place(settings, key);
    if (place != NULL) {
        *place = argument;
        return 0;
    }
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &settings->limit;
        return 0;
    case OPTION_PROFILE:
    case OPTION_KIND:
    case OPTION_MODE:
    case OPTION_WITHOUT_CRL:
        return parse_word(settings, key, argument, state);
    case OPTION_REPLACE:
        settings->replace = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: `provision' takes options only", argument);
        return 0;
    case ARGP_KEY_END:
        settings_check(settings, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- files ---- */

static enum result content_read(int file, const char *path, struct buffer *out, struct reason *why)
{
    uint8_t piece[4096];
    enum result result = RESULT_OK;
    ssize_t length = 0;
    while (result == RESULT_OK && (length = read(file, piece, sizeof(piece))) > 0) {
        if (buffer_append(out, (struct bytes){piece, (size_t)length}) != RESULT_OK) {
            result = result_fail(why, RESULT_INVALID, "%s has more than %zu bytes", path, out->limit);
        }
    }
    if (length < 0) {
        result = result_fail(why, RESULT_INVALID, "%s: %s", path, strerror(errno));
    }
    secret_wipe_bytes(piece, sizeof(piece));
    return result;
}

static enum result file_read(const char *path, bool secret, struct buffer *out, struct reason *why)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        int error = errno;
        if (file >= 0) {
            (void)close(file);
        }
        return result_fail(why, RESULT_INVALID, "%s: %s", path, strerror(error));
    }
    if (secret && (status.st_mode & 077) != 0) {
        log_line(LOG_LEVEL_WARNING, "%s is open to group or others", path);
    }
    enum result result = content_read(file, path, out, why);
    (void)close(file);
    return result;
}

static int digit_value(uint8_t digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *place = digit == 0 ? NULL : strchr(digits, tolower(digit));
    return place == NULL ? -1 : (int)(place - digits);
}

/* 64 hexadecimal characters, and white space after them. */
static enum result psk_parse(const char *path, struct bytes text, struct secret *out, struct reason *why)
{
    while (text.length > 0 && isspace(text.data[text.length - 1]) != 0) {
        text.length--;
    }
    bool good = text.length == (size_t)2 * SECRET_SIZE;
    for (size_t i = 0; good && i < SECRET_SIZE; i++) {
        int high = digit_value(text.data[2 * i]);
        int low = digit_value(text.data[2 * i + 1]);
        good = high >= 0 && low >= 0;
        out->data[i] = good ? (uint8_t)(high * 16 + low) : 0;
    }
    if (!good) {
        return result_fail(why, RESULT_INVALID, "%s does not hold %zu hexadecimal characters", path,
                           (size_t)2 * SECRET_SIZE);
    }
    return RESULT_OK;
}

/* ---- identity ---- */

static enum result name_copy(const char *name, char *out, size_t size, const char *what, struct reason *why)
{
    int length = snprintf(out, size, "%s", name);
    if (length <= 0 || (size_t)length >= size) {
        return result_fail(why, RESULT_INVALID, "%s has no more than %zu bytes", what, size - 1);
    }
    return RESULT_OK;
}

static enum result credentials_read(const struct settings *settings, struct identity *identity,
                                    struct reason *why)
{
    if (settings->mode == CREDENTIALS_CERT) {
        GUARD(file_read(settings->certificate, false, &identity->chain, why));
        GUARD(file_read(settings->private_key, true, &identity->private_key, why));
        GUARD(file_read(settings->trust_anchors, false, &identity->trust_anchors, why));
        return settings->crl == NULL ? RESULT_OK : file_read(settings->crl, false, &identity->crl, why);
    }
    struct buffer text = BUFFER_EMPTY(256);
    enum result result = file_read(settings->psk_file, true, &text, why);
    if (result == RESULT_OK) {
        result = psk_parse(settings->psk_file, buffer_bytes(&text), &identity->psk, why);
    }
    buffer_clear(&text);
    if (result == RESULT_OK) {
        secret_note("PSK", identity->psk.data, SECRET_SIZE);
        result = name_copy(settings->psk_identity == NULL ? settings->id : settings->psk_identity,
                           identity->psk_identity, sizeof(identity->psk_identity), "--psk-identity", why);
    }
    return result;
}

static enum result identity_fill(const struct settings *settings, struct identity *identity,
                                 struct reason *why)
{
    bool is_uri = false;
    identity->kind = settings->kind;
    identity->mode = settings->mode;
    identity->unrevoked = settings->unrevoked;
    GUARD(name_copy(settings->id, identity->name, sizeof(identity->name), "--id", why));
    GUARD(name_copy(settings->in_cse, identity->authority, sizeof(identity->authority), "--in-cse", why));
    if (identity_san(settings->in_cse, IDENTITY_IN_CSE, settings->in_cse, identity->authority_san,
                     sizeof(identity->authority_san), &is_uri) != RESULT_OK) {
        return result_fail(why, RESULT_INVALID,
                           "--in-cse %.100s is no absolute CSE-ID, as //sp.example/in-cse", settings->in_cse);
    }
    return credentials_read(settings, identity, why);
}

static enum result identity_add(const struct settings *settings, struct store *store, struct reason *why)
{
    struct identity identity = {.chain = BUFFER_EMPTY(FILE_LIMIT),
                                .private_key = BUFFER_EMPTY(FILE_LIMIT),
                                .trust_anchors = BUFFER_EMPTY(FILE_LIMIT),
                                .crl = BUFFER_EMPTY(CRL_FILE_LIMIT)};
    enum result result = identity_fill(settings, &identity, why);
    if (result == RESULT_OK) {
        result = store_begin(store, why);
    }
    if (result == RESULT_OK) {
        result = identity_store(store, &identity, settings->replace, why);
        if (result == RESULT_EXISTS) {
            result = result_fail(why, RESULT_EXISTS, "%s is in the store already: --replace replaces it",
                                 settings->id);
        }
        if (result == RESULT_OK && limit_options_given(&settings->limit)) {
            result = limit_options_store(&settings->limit, store, identity.name, identity.kind, "*", why);
        }
        if (result == RESULT_OK) {
            result = store_commit(store, why);
        } else {
            store_rollback(store);
        }
    }
    identity_clear(&identity);
    return result;
}

static enum result provision(const struct settings *settings, struct reason *why)
{
    struct store *store = NULL;
    enum result result = store_create(settings->store, settings->profile, settings->root_key, why);
    if (result != RESULT_OK && result != RESULT_EXISTS) {
        return result;
    }
    GUARD(program_store_open(settings->store, settings->profile, settings->root_key, &store, why));
    result = settings->id == NULL ? RESULT_OK : identity_add(settings, store, why);
    store_close(store);
    return result;
}

int command_provision(int argc, char **argv)
{
    static const char documentation[] =
        "Makes a store where there is none, and puts an identity with its end-to-end credentials into it. "
        "Once for each identity; the store must not be in use.";
    const struct argp_child children[] = {{&limit_options_argp, 0, NULL, 0}, {NULL, 0, NULL, 0}};
    const struct argp argp = {options, parse_option, "", documentation, children, NULL, NULL};
    struct settings settings = {.profile = STORE_ANY};
    struct reason why = {""};
    if (argp_parse(&argp, argc, argv, 0, NULL, &settings) != 0) {
        return EXIT_USAGE;
    }
    secret_forbid_dumps();
    enum result result = provision(&settings, &why);
    return result == RESULT_OK ? EXIT_DONE
                               : program_fail("%s", why.text[0] == '\0' ? result_word(result) : why.text);
}
