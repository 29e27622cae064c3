# secenv_handshake: end-to-end credentials, TLS 1.3 handshakes, associations, outbox.
#
# Certificates are never checked against a time before this one; packagers set SOURCE_DATE_EPOCH.
if(NOT GROUPSEAL_BUILD_TIME)
  string(TIMESTAMP build_time "%s" UTC)
  set(GROUPSEAL_BUILD_TIME ${build_time} CACHE STRING "Build date in seconds since 1970")
endif()

add_library(secenv_handshake STATIC
  credentials.c certificate.c limits.c
  hello.c handshake.c handshake_context.c handshake_failure.c
  association.c carriage.c outbox.c revocation.c)
target_compile_definitions(secenv_handshake PRIVATE GROUPSEAL_BUILD_TIME=${GROUPSEAL_BUILD_TIME}u)
target_link_libraries(secenv_handshake PUBLIC secenv_foundation groupseal_flags)
