if(TARGET secenv_handshake)
  add_executable(vectors ${CMAKE_CURRENT_LIST_DIR}/vectors.c)
  target_link_libraries(vectors PRIVATE groupseal_flags secenv_handshake secenv_foundation secenv_secret_note)
endif()
