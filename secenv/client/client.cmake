# Client of a secure environment's socket, for agents, plugin and tools: no wolfSSL.
add_library(secenv_client STATIC ${CMAKE_CURRENT_LIST_DIR}/secenv_client.c ${CMAKE_CURRENT_LIST_DIR}/embedded.c)
target_link_libraries(secenv_client PRIVATE groupseal_flags PUBLIC proto_secenv)
