# Every integration/test_*.py is one ctest test, run by Debian's python3 with pytest. A file whose first lines
# hold "ctest: full" is long: it runs with ./check --full only.
file(GLOB integration_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_*.py)
foreach(path ${integration_tests})
  get_filename_component(name ${path} NAME_WE)
  string(REPLACE "test_" "" name ${name})
  add_test(NAME integration/${name}
    COMMAND /usr/bin/python3 -m pytest -q -p no:cacheprovider ${path})
  set_tests_properties(integration/${name} PROPERTIES
    COST 1000  # they wait more than they compute: first, beside the unit tests
    ENVIRONMENT "GROUPSEAL_BUILD=${CMAKE_BINARY_DIR};PATH=/usr/bin:/usr/sbin:/bin:/sbin;PYTHONDONTWRITEBYTECODE=1")
  file(STRINGS ${path} marks LIMIT_COUNT 5 REGEX "ctest: full")
  if(marks)
    set_tests_properties(integration/${name} PROPERTIES LABELS full)
  endif()
endforeach()

# What the broker sees, written down (harness/tap.c); and a search for many keys at once (harness/scan.c).
if(NOT GROUPSEAL_FUZZ)
  add_executable(scan harness/scan.c)
  target_link_libraries(scan PRIVATE groupseal_flags)
  add_library(tap MODULE harness/tap.c)
  set_target_properties(tap PROPERTIES PREFIX "")
  target_link_libraries(tap PRIVATE groupseal_flags)
endif()

# The test build of secenv is made with all the rest, for test_no_key_outside.py.
if(TARGET secenv_test_door)
  add_custom_target(tests_need ALL DEPENDS secenv_test_door)
endif()
