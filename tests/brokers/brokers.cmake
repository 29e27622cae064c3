# The integration tests that have a broker in them, again with the Mosquitto of other Debian releases: the plugin is
# the same file. Long, and as root with the Debian archive in reach; else skipped, with a line that says why.
set(broker_tests plugin_broker plugin_settings coexistence bridges flow duplicate secenv_lost
    control identity_map autonomy reports watched_full plugin_load)
list(TRANSFORM broker_tests PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_)
list(TRANSFORM broker_tests APPEND .py)
foreach(suite trixie sid) # Mosquitto 2.0.21, and 2.1
  add_test(NAME brokers/${suite} COMMAND ${CMAKE_CURRENT_LIST_DIR}/run ${suite} ${CMAKE_BINARY_DIR} ${broker_tests})
  set_tests_properties(brokers/${suite} PROPERTIES
    COST 2000
    LABELS full
    SKIP_RETURN_CODE 77
    ENVIRONMENT "PATH=/usr/bin:/usr/sbin:/bin:/sbin;PYTHONDONTWRITEBYTECODE=1")
endforeach()
