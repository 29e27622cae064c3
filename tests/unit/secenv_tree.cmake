# Key tree, signed objects and the socket client.
if(TARGET secenv_client)
  unit_test(secenv_client SOURCES unit/secenv_client.c LIBS secenv_client)
endif()
