unit_test(onem2m_identifier SOURCES unit/onem2m_identifier.c LIBS onem2m)
unit_test(onem2m_topic SOURCES unit/onem2m_topic.c LIBS onem2m)
unit_test(onem2m_primitive SOURCES unit/onem2m_primitive.c LIBS onem2m)
