# Benchmarks of the secure environment's processes, for ./bench.
if(TARGET secenv AND NOT GROUPSEAL_FUZZ)
  add_library(bench_common STATIC ${CMAKE_CURRENT_LIST_DIR}/environment.c ${CMAKE_CURRENT_LIST_DIR}/ferry.c
    ${CMAKE_CURRENT_LIST_DIR}/bare.c)
  target_link_libraries(bench_common PUBLIC groupseal_flags secenv_client secenv_handshake secenv_foundation)
  foreach(bench handshake seal)
    add_executable(bench_${bench} ${CMAKE_CURRENT_LIST_DIR}/${bench}.c)
    target_link_libraries(bench_${bench} PRIVATE bench_common secenv_secret_note)
  endforeach()
endif()
