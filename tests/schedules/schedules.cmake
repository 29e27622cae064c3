# Random schedules: see schedules/README.md.
if(TARGET secenv_foundation)
  add_executable(tree_step ${CMAKE_CURRENT_LIST_DIR}/tree_step.c)
  target_link_libraries(tree_step PRIVATE groupseal_flags secenv_foundation secenv_secret_note)
  target_link_options(tree_step PRIVATE -Wl,--wrap=random_bytes,--wrap=kdf_label,--wrap=keywrap_wrap)
endif()
