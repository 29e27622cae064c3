/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_SECENV_OBJECTS_LIST_H
#define GROUPSEAL_SECENV_OBJECTS_LIST_H

#include "secenv/objects/object.h"

/* What the files of the objects share: sized fields, and the signature over a list. */

bool field_sized(ProtobufCBinaryData field, size_t size);

/* fix(n) of a protobuf field. */
void list_fix(struct fields *list, ProtobufCBinaryData field, size_t size);
/* list(var) of names. */
void list_texts(struct fields *list, char *const *texts, size_t count);

/* Signs a list, clears it and points `field` at the signature. */
enum result list_sign(struct fields *list, const struct signing_key *key, uint8_t signature[SIGNATURE_SIZE],
                      ProtobufCBinaryData *field) MUST_USE;
/* Checks the signature over a list and clears it. `noun` and `owner` are for the reason. */
enum result list_check(struct fields *list, struct bytes key, ProtobufCBinaryData signature, const char *noun,
                       const char *owner, struct reason *why) MUST_USE;

/* Text of at most `limit` bytes; NULL is none. */
bool text_within(const char *text, size_t limit);
bool text_empty(const char *text);
/* Every one valid, and the count within the limit. */
bool names_valid(char *const *names, size_t count, size_t limit);
bool sites_valid(char *const *sites, size_t count, size_t limit);
/* Empty list: every site. */
bool sites_include(char *const *sites, size_t count, const char *site);

#endif
