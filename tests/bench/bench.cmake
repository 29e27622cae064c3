# Benchmarks of the secure environment's processes, for ./bench.
if(TARGET secenv AND NOT GROUPSEAL_FUZZ)
  add_library(bench_common STATIC ${CMAKE_CURRENT_LIST_DIR}/environment.c ${CMAKE_CURRENT_LIST_DIR}/ferry.c
    ${CMAKE_CURRENT_LIST_DIR}/bare.c ${CMAKE_CURRENT_LIST_DIR}/roster.c ${CMAKE_CURRENT_LIST_DIR}/mqtt.c)
  target_link_libraries(bench_common PUBLIC groupseal_flags secenv_client secenv_handshake secenv_foundation)
  foreach(bench handshake seal enrol command rollout bound_end)
    add_executable(bench_${bench} ${CMAKE_CURRENT_LIST_DIR}/${bench}.c)
    target_link_libraries(bench_${bench} PRIVATE bench_common secenv_secret_note)
  endforeach()
  # Many devices in a process: shared_session.c takes the place of agents/session.c.
  add_executable(bench_fleet ${CMAKE_CURRENT_LIST_DIR}/fleet.c ${CMAKE_CURRENT_LIST_DIR}/shared_session.c)
  target_link_libraries(bench_fleet PRIVATE adn_ae_device bench_common secenv_secret_note)
  pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl)
  add_executable(bench_bound_hop ${CMAKE_CURRENT_LIST_DIR}/bound_hop.c)
  target_link_libraries(bench_bound_hop PRIVATE groupseal_flags PkgConfig::OPENSSL)
  # That a fleet of real agents comes in, not how fast.
  add_test(NAME bench/onboard COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/onboard.py ${CMAKE_BINARY_DIR} 60)
  set_tests_properties(bench/onboard PROPERTIES COST 1000 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  add_test(NAME bench/outage COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/outage.py ${CMAKE_BINARY_DIR} 500)
  set_tests_properties(bench/outage PROPERTIES LABELS full ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()

# Groups of many members: engines of the authority, an MN-CSE and some devices in one process.
if(TARGET test_site AND NOT GROUPSEAL_FUZZ)
  add_library(bench_large STATIC ${CMAKE_CURRENT_LIST_DIR}/large_group.c ${CMAKE_CURRENT_LIST_DIR}/large_key.c)
  target_link_libraries(bench_large PUBLIC test_site)
  foreach(bench rekey recover)
    add_executable(bench_${bench} ${CMAKE_CURRENT_LIST_DIR}/${bench}.c)
    target_link_libraries(bench_${bench} PRIVATE bench_large secenv_secret_note)
  endforeach()
  add_executable(receipts_large ${CMAKE_CURRENT_SOURCE_DIR}/unit/receipts_large.c)
  target_link_libraries(receipts_large PRIVATE bench_large secenv_secret_note)
  add_dependencies(unit_tests receipts_large)
  add_test(NAME unit/receipts_large COMMAND receipts_large 400)
  add_test(NAME unit/receipts_ten_thousand COMMAND receipts_large 10000)
  set_tests_properties(unit/receipts_ten_thousand PROPERTIES LABELS full)
  if(EXISTS /dev/shm) # a commit for each receipt
    set_tests_properties(unit/receipts_large unit/receipts_ten_thousand PROPERTIES ENVIRONMENT TMPDIR=/dev/shm)
  endif()
  add_executable(authority_large ${CMAKE_CURRENT_SOURCE_DIR}/unit/authority_large.c)
  target_link_libraries(authority_large PRIVATE bench_large secenv_secret_note)
  add_dependencies(unit_tests authority_large)
  add_test(NAME unit/authority_large COMMAND authority_large 2000 64)
  add_test(NAME unit/authority_hundred_thousand COMMAND authority_large 100000 1000)
  set_tests_properties(unit/authority_hundred_thousand PROPERTIES LABELS full)
  add_test(NAME bench/rekey COMMAND bench_rekey 300 3) # that they work, not how fast
  add_test(NAME bench/recover COMMAND bench_recover 300 20)
  unit_test(group_parts SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/group_parts.c
                                ${CMAKE_CURRENT_SOURCE_DIR}/unit/member_play.c
            LIBS bench_large secenv_secret_note)
  unit_test(authority_feed SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/authority_feed.c
            LIBS bench_large secenv_secret_note)
  unit_test(authority_cost SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/authority_cost.c
            LIBS bench_large secenv_secret_note)
  if(EXISTS /dev/shm)
    set_tests_properties(unit/group_parts unit/authority_feed unit/authority_cost unit/authority_large
                         unit/authority_hundred_thousand PROPERTIES ENVIRONMENT TMPDIR=/dev/shm)
  endif()
endif()

# What the plugin costs a broker (overhead.py): traffic, and the plugin with a clock around its callbacks.
if(TARGET mn_cse AND NOT GROUPSEAL_FUZZ)
  add_executable(bench_traffic ${CMAKE_CURRENT_LIST_DIR}/traffic.c)
  target_link_libraries(bench_traffic PRIVATE groupseal_flags)
  get_target_property(plugin_sources mn_cse SOURCES)
  get_target_property(plugin_folder mn_cse SOURCE_DIR)
  list(TRANSFORM plugin_sources PREPEND ${plugin_folder}/)
  add_library(mn_cse_clock MODULE ${plugin_sources} ${CMAKE_CURRENT_LIST_DIR}/callback_clock.c)
  set_target_properties(mn_cse_clock PROPERTIES PREFIX "")
  target_include_directories(mn_cse_clock SYSTEM PRIVATE ${MOSQUITTO_INCLUDE_DIR})
  target_link_libraries(mn_cse_clock PRIVATE mn_agent mn_courier)
  target_link_options(mn_cse_clock PRIVATE -Wl,--exclude-libs,ALL
    -Wl,--wrap=mosquitto_callback_register -Wl,--wrap=mosquitto_callback_unregister)
endif()
