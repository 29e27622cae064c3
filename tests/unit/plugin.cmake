add_library(plugin_site STATIC unit/plugin_site.c)
target_link_libraries(plugin_site PUBLIC mn_agent PkgConfig::CMOCKA)

unit_test(plugin_access SOURCES unit/plugin_access.c LIBS plugin_site)
unit_test(plugin_hosting SOURCES unit/plugin_hosting.c LIBS plugin_site)
unit_test(plugin_relay SOURCES unit/plugin_relay.c LIBS plugin_site)
unit_test(plugin_link SOURCES unit/plugin_link.c LIBS plugin_site)
unit_test(plugin_courier SOURCES unit/plugin_courier.c LIBS mn_courier)
unit_test(plugin_configuration SOURCES unit/plugin_configuration.c ${CMAKE_SOURCE_DIR}/plugin/broker/configuration.c LIBS secenv_client)
set(plugin_broker ${CMAKE_SOURCE_DIR}/plugin/broker)
unit_test(plugin_broker SOURCES unit/plugin_broker.c ${plugin_broker}/compat.c ${plugin_broker}/configuration.c ${plugin_broker}/kicks.c
  ${plugin_broker}/leaving.c ${plugin_broker}/mn_cse.c ${plugin_broker}/state_file.c ${plugin_broker}/watchdog.c LIBS mn_agent secenv_client pthread)
unit_test(plugin_state_file SOURCES unit/plugin_state_file.c ${plugin_broker}/state_file.c)
