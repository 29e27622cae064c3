add_library(plugin_site STATIC unit/plugin_site.c)
target_link_libraries(plugin_site PUBLIC mn_agent PkgConfig::CMOCKA)

unit_test(plugin_access SOURCES unit/plugin_access.c LIBS plugin_site)
unit_test(plugin_relay SOURCES unit/plugin_relay.c LIBS plugin_site)
unit_test(plugin_link SOURCES unit/plugin_link.c LIBS plugin_site)
unit_test(plugin_courier SOURCES unit/plugin_courier.c LIBS mn_courier)
unit_test(plugin_configuration SOURCES unit/plugin_configuration.c ${CMAKE_SOURCE_DIR}/plugin/broker/configuration.c LIBS secenv_client)

# A plugin shares its process with all others of a 2.0 broker: it may not export, nor ask for, anything else.
if(NOT GROUPSEAL_SANITIZE AND NOT GROUPSEAL_THREAD_SANITIZE AND NOT GROUPSEAL_FUZZ)
  add_test(NAME unit/plugin_exports
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/unit/plugin_exports.sh $<TARGET_FILE:mn_cse>)
endif()
