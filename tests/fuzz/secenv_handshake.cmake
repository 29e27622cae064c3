foreach(part hello certificate revocation carriage handshake)
  fuzz_target(secenv_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/secenv_${part}.c
              LIBS secenv_handshake secenv_secret_note)
endforeach()
