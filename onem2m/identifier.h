#ifndef GROUPSEAL_ONEM2M_IDENTIFIER_H
#define GROUPSEAL_ONEM2M_IDENTIFIER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * oneM2M identifiers (TS-0001 7.2) and their mapping to topic levels (TS-0010 6.4.2). Pure code,
 * no allocation. Inside Groupseal every entity has one absolute id:
 *   CSE  //sp.example/mn-1      AE  //sp.example/mn-1/Cdoor1  or  //sp.example/Sdoor1
 */
#define ONEM2M_ID_LIMIT 128u

/* An absolute id: two leading slashes, an SP domain, one or two more levels, bytes of [A-Za-z0-9._-]. */
bool onem2m_id_valid(const char *absolute);

/* The stem: "Cdoor1", "Sdoor1", "mn-1". `out` of ONEM2M_ID_LIMIT + 1. False where the id is not valid. */
bool onem2m_id_stem(const char *absolute, char *out, size_t size);

/* The topic level of an entity on its own registrar's Mca or Mcc: the stem for an AE and a CSE-ID without
 * its slash. Same limits. */
bool onem2m_id_to_level(const char *absolute, char *out, size_t size);

/*
 * The absolute id that a topic level or an identifier in a primitive means, seen from the CSE `cse`
 * (absolute). Takes stems ("Cdoor1", "Sdoor1"), mapped SP-relative forms ("mn-1:Cdoor1", "mn-1"), SP-relative
 * ("/mn-1/Cdoor1", "/Sdoor1", "/mn-1", "/mn-1/.") and absolute forms: stem and full form are one AE. A C-type
 * stem alone belongs to `cse`. False: not an identifier.
 */
bool onem2m_id_resolve(const char *text, const char *cse, char *out, size_t size);

/* True where the id's last level is an AE-ID-Stem (C… or S… below an SP or a CSE). "//sp/mn-1" is a CSE. A
 * stem and a CSE-ID cannot be told apart by form alone: a CSE-ID that starts with S or C is not valid here.
 */
bool onem2m_id_is_ae(const char *absolute);

#endif
