fuzz_target(plugin_message SOURCES fuzz/plugin_message.c LIBS mn_agent)
fuzz_target(plugin_rules SOURCES fuzz/plugin_rules.c LIBS mn_agent)
