# secenv_authority: the engine of an IN-CSE's secure environment, the key server.
add_library(secenv_authority STATIC
  authority/engine.c authority/keys.c authority/evictions.c authority/hex.c authority/notices.c
  authority/member.c authority/membership_end.c authority/move.c authority/peer.c authority/admission.c
  authority/group.c authority/group_tree.c authority/leaves.c authority/change.c authority/collection.c authority/difference.c authority/feed.c authority/roster_feed.c authority/arrears.c authority/deletion.c authority/incarnation.c
  authority/carried_clock.c authority/refresh.c authority/revocation.c authority/settings.c
  authority/order.c authority/own_command.c authority/report.c authority/report_page.c authority/holding.c authority/record.c authority/ferry.c
  authority/farewell.c)
target_link_libraries(secenv_authority PUBLIC secenv_handshake groupseal_flags)
