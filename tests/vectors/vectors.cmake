# Both are driven by integration/test_vectors.py and integration/test_agreement*.py.
if(TARGET secenv_handshake)
  foreach(program vectors agree)
    add_executable(${program} ${CMAKE_CURRENT_LIST_DIR}/${program}.c)
    target_link_libraries(${program} PRIVATE groupseal_flags secenv_handshake secenv_foundation secenv_secret_note)
  endforeach()
endif()
