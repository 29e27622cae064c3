fuzz_target(plugin_message SOURCES fuzz/plugin_message.c LIBS mn_agent)
