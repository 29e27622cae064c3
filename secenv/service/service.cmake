# secenv_service: sockets, table and batches around an engine; and the program `secenv`.
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
add_library(secenv_service STATIC
  service/dispatch.c service/connection.c service/outgoing.c service/listener.c service/service.c
  service/confinement.c)
target_link_libraries(secenv_service PUBLIC secenv_foundation groupseal_flags PRIVATE PkgConfig::SECCOMP)
if(GROUPSEAL_SANITIZE OR GROUPSEAL_THREAD_SANITIZE OR GROUPSEAL_COVERAGE)
  target_compile_definitions(secenv_service PRIVATE GROUPSEAL_UNCONFINED)
endif()

if(TARGET secenv_authority AND TARGET secenv_member AND TARGET secenv_client)
  set(secenv_program_sources
    service/main.c service/run.c service/provision.c service/limit_options.c service/limit_command.c
    service/audit_command.c)
  set(secenv_program_libraries
    secenv_service secenv_authority secenv_member secenv_handshake secenv_client PkgConfig::CJSON)

  add_executable(secenv ${secenv_program_sources})
  target_link_libraries(secenv PRIVATE groupseal_flags secenv_secret_note ${secenv_program_libraries})
  target_compile_definitions(secenv PRIVATE GROUPSEAL_VERSION="${PROJECT_VERSION}")
  install(TARGETS secenv RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

  # For the memory scan of the tests only, never installed: it writes every key to a file.
  if(TARGET secenv_secret_note_door)
    add_executable(secenv_test_door ${secenv_program_sources})
    target_link_libraries(secenv_test_door PRIVATE
      groupseal_flags secenv_secret_note_door ${secenv_program_libraries})
    target_compile_definitions(secenv_test_door PRIVATE GROUPSEAL_VERSION="${PROJECT_VERSION}")
  endif()
endif()
