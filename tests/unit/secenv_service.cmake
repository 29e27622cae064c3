foreach(part dispatch loop)
  unit_test(service_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/service_${part}.c
            LIBS secenv_service secenv_secret_note)
endforeach()

# Sanitizers and coverage need more system calls than secenv: their builds are not confined.
if(NOT GROUPSEAL_SANITIZE AND NOT GROUPSEAL_THREAD_SANITIZE AND NOT GROUPSEAL_COVERAGE)
  unit_test(service_confinement SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/service_confinement.c
            LIBS secenv_service secenv_secret_note)
endif()
