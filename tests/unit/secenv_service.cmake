foreach(part dispatch loop)
  unit_test(service_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/service_${part}.c
            LIBS secenv_service secenv_secret_note)
endforeach()
