fuzz_target(plugin_message SOURCES fuzz/plugin_message.c LIBS mn_agent)
fuzz_target(plugin_rules SOURCES fuzz/plugin_rules.c LIBS mn_agent)
fuzz_target(plugin_sequence SOURCES fuzz/plugin_sequence.c fuzz/message.c LIBS mn_agent secenv_foundation secenv_secret_note)
fuzz_target(plugin_options SOURCES fuzz/plugin_options.c ${CMAKE_SOURCE_DIR}/plugin/broker/configuration.c
            LIBS mn_agent secenv_client)
fuzz_target(plugin_control SOURCES fuzz/plugin_control.c LIBS mn_agent)
fuzz_target(plugin_check SOURCES fuzz/plugin_check.c LIBS mn_check)
fuzz_target(plugin_state_file SOURCES fuzz/plugin_state_file.c ${CMAKE_SOURCE_DIR}/plugin/broker/state_file.c)
