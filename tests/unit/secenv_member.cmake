# The member's engine against the authority's, in one process.
if(TARGET secenv_member AND TARGET secenv_authority)
  set(member_play ${CMAKE_CURRENT_SOURCE_DIR}/unit/member_play.c ${CMAKE_CURRENT_SOURCE_DIR}/unit/site.c
                  ${CMAKE_CURRENT_SOURCE_DIR}/unit/site_pki.c ${CMAKE_CURRENT_SOURCE_DIR}/unit/operator.c
                  ${CMAKE_CURRENT_SOURCE_DIR}/unit/power.c)
  foreach(part command commanding dispatch group holding keys lag move refresh revocation roster silence speaking tree)
    unit_test(member_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/member_${part}.c ${member_play}
              LIBS secenv_member secenv_authority secenv_secret_note)
  endforeach()
  unit_test(group_large SOURCES unit/group_large.c unit/member_play.c LIBS test_site secenv_secret_note)
  if(EXISTS /dev/shm) # days of beats, each with an fsync
    set_tests_properties(unit/group_large unit/member_command unit/member_dispatch unit/member_group
                         unit/member_holding unit/member_lag unit/member_move
                         unit/member_refresh unit/member_revocation unit/member_silence
                         unit/member_tree
                         PROPERTIES ENVIRONMENT TMPDIR=/dev/shm)
  endif()
  unit_test(member_many SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/member_many.c
            LIBS secenv_member secenv_secret_note)
endif()
