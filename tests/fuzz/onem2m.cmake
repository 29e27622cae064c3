fuzz_target(onem2m_identifier SOURCES fuzz/onem2m_identifier.c LIBS onem2m)
fuzz_target(onem2m_topic SOURCES fuzz/onem2m_topic.c LIBS onem2m)
fuzz_target(onem2m_filter SOURCES fuzz/onem2m_filter.c LIBS onem2m)
fuzz_target(onem2m_primitive SOURCES fuzz/onem2m_primitive.c LIBS onem2m)
