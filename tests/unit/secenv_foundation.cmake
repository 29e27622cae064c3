foreach(part bytes crypto store)
  unit_test(foundation_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/foundation_${part}.c
            LIBS secenv_foundation secenv_secret_note)
endforeach()
unit_test(progress SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/progress.c LIBS secenv_progress)
