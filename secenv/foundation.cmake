# secenv_foundation: crypto, bytes, arena, clock, log, audit, store, counter, tree, objects.
#
# secret_note.c is an object library of its own: every program links it (or, in the test build of
# secenv, tests/door/secret_note.c in its place) beside secenv_foundation, directly.
add_library(secenv_secret_note OBJECT crypto/secret_note.c)
target_link_libraries(secenv_secret_note PRIVATE groupseal_flags)

if(EXISTS ${CMAKE_SOURCE_DIR}/tests/door/secret_note.c)
  add_library(secenv_secret_note_door OBJECT ${CMAKE_SOURCE_DIR}/tests/door/secret_note.c)
  target_link_libraries(secenv_secret_note_door PRIVATE groupseal_flags)
endif()

# What takes long says how far it is: for secenv and for the agents alike.
add_library(secenv_progress STATIC progress.c)
target_link_libraries(secenv_progress PRIVATE groupseal_flags)

set(foundation_sources
  result.c bytes.c arena.c clock.c log.c audit.c moderation.c bucket.c
  crypto/secret.c crypto/kdf.c crypto/aead.c crypto/signature.c
  store.c statement.c counter.c
  tree.c tree_pages.c tree_page.c tree_packed.c tree_climb.c)
file(GLOB foundation_objects CONFIGURE_DEPENDS objects/*.c)

add_library(secenv_foundation STATIC ${foundation_sources} ${foundation_objects})
target_link_libraries(secenv_foundation PUBLIC secenv_progress
  proto_envelope proto_secenv groupseal_flags PkgConfig::WOLFSSL PkgConfig::SQLITE)
