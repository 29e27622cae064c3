fuzz_target(agents_message_line SOURCES fuzz/agents_message_line.c LIBS adn_ae_program)
fuzz_target(agents_roster_file SOURCES fuzz/agents_roster_file.c LIBS in_cse_program)
fuzz_target(agents_adn_ae_settings SOURCES fuzz/agents_adn_ae_settings.c LIBS adn_ae_program)
fuzz_target(agents_in_cse_settings SOURCES fuzz/agents_in_cse_settings.c LIBS in_cse_program)
fuzz_target(agents_psk_file SOURCES fuzz/agents_psk_file.c LIBS agents_shared)
# Its connection, session and timers stand in the place of the libraries' own.
fuzz_target(agents_device SOURCES fuzz/agents_device.c fuzz/message.c
            LIBS adn_ae_device secenv_foundation secenv_secret_note)
