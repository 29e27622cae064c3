# Key tree, signed objects and the socket client.
if(TARGET secenv_client)
  unit_test(secenv_client SOURCES unit/secenv_client.c LIBS secenv_client)
endif()
if(TARGET secenv_foundation)
  unit_test(secenv_tree SOURCES unit/secenv_tree.c LIBS secenv_foundation secenv_secret_note)
  unit_test(secenv_objects SOURCES unit/secenv_objects.c LIBS secenv_foundation secenv_secret_note)
  unit_test(secenv_seal SOURCES unit/secenv_seal.c LIBS secenv_foundation secenv_secret_note)
endif()
