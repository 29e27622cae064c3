if(TARGET secenv_authority AND TARGET secenv_member AND GROUPSEAL_FUZZ)
  fuzz_target(secenv_site
    SOURCES fuzz/secenv_site.c fuzz/site_rules.c fuzz/site_keys_authority.c fuzz/site_keys_member.c fuzz/message.c
            unit/site.c unit/power.c unit/site_pki.c unit/operator.c
    LIBS secenv_authority secenv_member secenv_service secenv_secret_note PkgConfig::CMOCKA)
endif()
