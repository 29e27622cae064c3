# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP relays in front of a broker: they keep a copy of what passes, and can hold it back or cut it."""

import asyncio
import threading

TLS_HANDSHAKE = 0x16
TLS_APPLICATION_DATA = 0x17
TLS_TYPES = (0x14, 0x15, 0x16, 0x17)


class Connection:
    def __init__(self, port):
        self.port = port  # the broker's
        self.from_client = bytearray()
        self.from_broker = bytearray()
        self.writers = ()


class Relays:
    """`relays` is a list of (port to listen on, port of the broker), all on 127.0.0.1. Runs on a thread."""

    def __init__(self, relays):
        self.relays = relays
        self.connections = []
        self.held = False  # what clients send waits
        self.loop = asyncio.new_event_loop()
        self.up = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.up.wait(60)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        for listen, broker in self.relays:
            self.loop.run_until_complete(asyncio.start_server(
                lambda reader, writer, port=broker: self._serve(reader, writer, port), "127.0.0.1", listen))
        self.up.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer, port):
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        connection = Connection(port)
        connection.writers = (writer, broker_writer)
        self.connections.append(connection)
        await asyncio.gather(self._pass(reader, broker_writer, connection.from_client, True),
                             self._pass(broker_reader, writer, connection.from_broker, False),
                             return_exceptions=True)

    async def _pass(self, reader, writer, copy, from_client):
        try:
            while data := await reader.read(65536):
                copy.extend(data)
                while from_client and self.held and not writer.is_closing():
                    await asyncio.sleep(0.01)
                if writer.is_closing():
                    return
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def hold(self, held):
        self.held = held

    def cut(self):
        """Ends all connections at once; what is held is lost. They have ended when it returns."""
        ended = threading.Event()

        def close():
            for connection in self.connections:
                for writer in connection.writers:
                    writer.transport.abort()
            ended.set()
        self.loop.call_soon_threadsafe(close)
        ended.wait(30)

    def close(self):
        self.cut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def established(self, port):
        """Connections on which both sides have sent application data under TLS."""
        return sum(1 for one in self.connections
                   if one.port == port and TLS_APPLICATION_DATA in record_types(one.from_client)
                   and TLS_APPLICATION_DATA in record_types(one.from_broker))

    def outside_tls(self):
        """Connections with bytes that are no TLS record."""
        return sum(1 for one in self.connections
                   if None in record_types(one.from_client) or None in record_types(one.from_broker))

    def bytes(self):
        return [bytes(part) for one in self.connections for part in (one.from_client, one.from_broker)]


def record_types(stream):
    """The types of the TLS records in the stream; None among them where something is no record."""
    types, at = set(), 0
    while at + 5 <= len(stream):
        if stream[at] not in TLS_TYPES or stream[at + 1] != 3 or (at == 0 and stream[at] != TLS_HANDSHAKE):
            types.add(None)
            break
        types.add(stream[at])
        at += 5 + int.from_bytes(stream[at + 3:at + 5], "big")
    return types
