# Certificates for these tests, made anew in the build folder.
set(handshake_pki ${CMAKE_CURRENT_BINARY_DIR}/handshake_pki)
add_test(NAME unit/handshake_pki
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/unit/handshake_pki.sh ${handshake_pki})
set_tests_properties(unit/handshake_pki PROPERTIES FIXTURES_SETUP handshake_pki)

foreach(part handshake credentials revocation association outbox limits)
  unit_test(${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/${part}.c
            LIBS secenv_handshake secenv_secret_note)
  set_tests_properties(unit/${part} PROPERTIES FIXTURES_REQUIRED handshake_pki
                       ENVIRONMENT GROUPSEAL_TEST_PKI=${handshake_pki})
endforeach()

# Our calls beside wolfSSL's, by hand: ./bench handshake measures the processes.
add_executable(bench_handshake_calls EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/bench/handshake_calls.c)
target_link_libraries(bench_handshake_calls PRIVATE groupseal_flags secenv_handshake secenv_secret_note)
