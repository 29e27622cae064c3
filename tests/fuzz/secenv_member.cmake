if(TARGET secenv_member)
  fuzz_target(secenv_member SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/secenv_member.c
              LIBS secenv_member secenv_secret_note)
endif()
