# Crashes, copies, disks and clocks: see crash/README.md.
if(TARGET test_site)
  add_library(test_fleet STATIC ${CMAKE_CURRENT_SOURCE_DIR}/crash/fleet.c ${CMAKE_CURRENT_SOURCE_DIR}/crash/sealed.c
              ${CMAKE_CURRENT_SOURCE_DIR}/unit/member_play.c)
  target_link_libraries(test_fleet PUBLIC test_site)
  target_link_options(test_fleet INTERFACE -Wl,--wrap=aead_seal)
  foreach(part points copies evictions)
    add_executable(crash_${part} ${CMAKE_CURRENT_SOURCE_DIR}/crash/${part}.c)
    target_link_libraries(crash_${part} PRIVATE groupseal_flags test_fleet secenv_secret_note)
    add_test(NAME crash/${part} COMMAND crash_${part})
    add_dependencies(unit_tests crash_${part})
    if(EXISTS /dev/shm)
      set_tests_properties(crash/${part} PROPERTIES ENVIRONMENT TMPDIR=/dev/shm)
    endif()
  endforeach()
  add_test(NAME crash/points_many COMMAND crash_points)
  set_tests_properties(crash/points_many PROPERTIES
    LABELS full ENVIRONMENT "TMPDIR=/dev/shm;GROUPSEAL_CRASH_POINTS=5000")
endif()
