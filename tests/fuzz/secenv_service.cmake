fuzz_target(secenv_request SOURCES fuzz/secenv_request.c LIBS secenv_service secenv_secret_note)
