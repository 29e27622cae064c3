# A site: engines of one authority and its members in one process.
if(NOT TARGET secenv_member)
  return()
endif()
set(site_sources
  ${CMAKE_CURRENT_SOURCE_DIR}/unit/site.c ${CMAKE_CURRENT_SOURCE_DIR}/unit/site_pki.c
  ${CMAKE_CURRENT_SOURCE_DIR}/unit/power.c ${CMAKE_CURRENT_SOURCE_DIR}/unit/operator.c ${CMAKE_CURRENT_SOURCE_DIR}/unit/hand.c)
add_library(test_site STATIC ${site_sources})
target_link_libraries(test_site PUBLIC
  secenv_authority secenv_member groupseal_flags PkgConfig::CMOCKA)

foreach(part operator admission group tree order site restore clock collect)
  unit_test(authority_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/authority_${part}.c
            LIBS test_site secenv_secret_note)
  if(EXISTS /dev/shm) # thousands of commits, each with an fsync
    set_tests_properties(unit/authority_${part} PROPERTIES ENVIRONMENT TMPDIR=/dev/shm)
  endif()
endforeach()
