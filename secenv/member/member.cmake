# secenv_member: the member's engine (ADN-AE and MN-CSE), without sockets.
add_library(secenv_member STATIC
  member/ack.c member/agenda.c member/allowance.c member/authentication.c member/clearing.c
  member/command.c member/command_clock.c member/command_table.c member/commanding.c
  member/dispatch_command.c member/dispatch_seal.c member/dispatch_store.c member/dispatch_target.c member/engine.c member/event.c member/evicted.c member/group_seal.c member/holders.c member/holding.c
  member/identity_state.c member/membership.c member/news.c member/overdue.c member/package_ask.c member/packed.c member/past_epochs.c member/receipt.c
  member/record.c member/relay.c member/replay.c member/report.c member/revoking.c member/roster.c member/said.c
  member/silence.c
  member/speaking.c member/standing.c member/status.c member/sync.c member/sync_reply.c member/waiting_room.c)
target_link_libraries(secenv_member PUBLIC secenv_handshake)
