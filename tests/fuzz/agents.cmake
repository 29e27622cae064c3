fuzz_target(agents_message_line SOURCES fuzz/agents_message_line.c LIBS adn_ae_program)
fuzz_target(agents_roster_file SOURCES fuzz/agents_roster_file.c LIBS in_cse_program)
