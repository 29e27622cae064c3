# Attacks, each file one attacker: see attack/README.md.
if(TARGET test_site)
  add_library(test_attack STATIC ${CMAKE_CURRENT_SOURCE_DIR}/attack/attack.c
              ${CMAKE_CURRENT_SOURCE_DIR}/unit/member_play.c)
  target_link_libraries(test_attack PUBLIC test_site)
  foreach(part group broker carriage identity refusals excess owner)
    add_executable(attack_${part} ${CMAKE_CURRENT_SOURCE_DIR}/attack/${part}.c)
    target_link_libraries(attack_${part} PRIVATE groupseal_flags test_attack secenv_secret_note)
    add_test(NAME attack/${part} COMMAND attack_${part})
    add_dependencies(unit_tests attack_${part}) # they run under sanitizers too
    if(EXISTS /dev/shm) # thousands of commits, each with an fsync
      set_tests_properties(attack/${part} PROPERTIES ENVIRONMENT TMPDIR=/dev/shm)
    endif()
  endforeach()
endif()

# Attacks on real processes, as the integration tests are run.
foreach(part broker evil evil_once host identity)
  add_test(NAME attack/${part}_processes
    COMMAND /usr/bin/python3 -m pytest -q -p no:cacheprovider ${CMAKE_CURRENT_SOURCE_DIR}/attack/test_${part}.py)
  set_tests_properties(attack/${part}_processes PROPERTIES
    ENVIRONMENT "GROUPSEAL_BUILD=${CMAKE_BINARY_DIR};PATH=/usr/bin:/usr/sbin:/bin:/sbin;PYTHONDONTWRITEBYTECODE=1")
endforeach()
set_tests_properties(attack/evil_processes PROPERTIES LABELS full)
