# SPDX-License-Identifier: GPL-3.0-or-later
"""
A broker that lies: between the devices and the real broker, with the broker's own certificate to the devices and the
devices' to the broker. It reads every PUBLISH both ways and does with it as the test says.
"""

import asyncio
import ssl
import threading
import time
from typing import NamedTuple

PASS, DROP, HOLD, TWICE = "pass", "drop", "hold", "twice"
PUBLISH, PUBACK = 3, 4
OWN_IDS = 60000  # packet ids of what we say ourselves; Paho and Mosquitto begin at 1


class Message(NamedTuple):
    device: str
    up: bool  # the device said it; else it is for the device
    topic: str
    payload: bytes
    retain: bool
    at: float


def pack(first, body):
    """An MQTT control packet."""
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes([first]) + bytes(digits) + body


def publish(topic, payload, retain=False, number=None):
    """QoS 1 where there is a packet id, else QoS 0."""
    name = topic.encode()
    identifier = b"" if number is None else number.to_bytes(2, "big")
    return pack(PUBLISH << 4 | (0 if number is None else 2) | retain,
                len(name).to_bytes(2, "big") + name + identifier + payload)


async def packet_read(reader):
    """The first byte, and the body."""
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return first, await reader.readexactly(length)


class Link:
    """One device's connection."""

    def __init__(self, device, to_device, to_broker):
        self.device, self.to_device, self.to_broker = device, to_device, to_broker


class EvilBroker:
    """
    Listens on `port` of 127.0.0.1, in front of the certificate listener of the site's broker, for those devices whose
    configuration says so. `rule` is asked for every message (a Message) and says PASS, DROP, HOLD or TWICE. What is
    held is in `held`, all that passed by in `seen`. Runs on a thread.
    """

    def __init__(self, site, port):
        self.site = site
        self.rule = lambda message: PASS
        self.seen, self.held = [], []
        self.links = {}
        self.number = OWN_IDS
        self.port = port
        self.loop = asyncio.new_event_loop()
        self.up = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.up.wait(60)

    # -- what the test does ---------------------------------------------------------------------------------

    def give(self, device, topic, payload, retain=False):
        """To a device, as if the broker had it."""
        self._call(self._write, self.links[device].to_device, publish(topic, payload, retain))

    def say(self, device, topic, payload):
        """To the broker, as if the device had said it."""
        self.number = self.number + 1 if self.number < 65535 else OWN_IDS
        self._call(self._write, self.links[device].to_broker, publish(topic, payload, False, self.number))

    def release(self, order=lambda held: held):
        """What was held goes on, in that order."""
        held, self.held = order(self.held), []
        for message in held:
            if message.up:
                self.say(message.device, message.topic, message.payload)
            else:
                self.give(message.device, message.topic, message.payload, message.retain)

    def cut(self, device):
        """Ends its connection; it comes back by itself."""
        self._call(lambda: self.links[device].to_device.transport.abort())

    def find(self, device, suffix, up=False):
        """What it was given (or said, `up`) on topics that end so."""
        return [one for one in list(self.seen)
                if one.device == device and one.up == up and one.topic.endswith(suffix)]

    def close(self):
        self.loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(self.loop)])
        self.loop.call_soon_threadsafe(self.loop.call_later, 0.2, self.loop.stop)
        self.thread.join(5)

    # -- the thread -----------------------------------------------------------------------------------------

    def _call(self, function, *arguments):
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (function(*arguments), done.set()))
        done.wait(60)

    @staticmethod
    def _write(writer, data):
        writer.write(data)

    def _server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.site.pki.file("mn-1", "broker.pem"), self.site.pki.file("mn-1", "broker.key"))
        context.load_verify_locations(self.site.pki.hop_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _client_context(self, device):
        context = ssl.create_default_context(cafile=str(self.site.pki.hop_ca))
        context.load_cert_chain(self.site.pki.file(device, "hop.pem"), self.site.pki.file(device, "hop.key"))
        return context

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port,
                                                          ssl=self._server_context()))
        self.up.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        subject = dict(part[0] for part in writer.get_extra_info("peercert")["subject"])
        device = subject["commonName"]
        try:
            broker_reader, broker_writer = await asyncio.open_connection(
                "localhost", self.site.broker.certificate_port, ssl=self._client_context(device))
        except OSError:
            writer.close()
            return
        link = self.links[device] = Link(device, writer, broker_writer)
        tasks = [asyncio.ensure_future(self._pass(link, reader, broker_writer, writer, True)),
                 asyncio.ensure_future(self._pass(link, broker_reader, writer, broker_writer, False))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for one in (writer, broker_writer):
            one.close()

    async def _pass(self, link, reader, onward, back, up):
        try:
            while True:
                first, body = await packet_read(reader)
                if first >> 4 == PUBLISH:
                    self._publish(link.device, first, body, onward, back, up)
                elif not (first >> 4 == PUBACK and not up and int.from_bytes(body[:2], "big") >= OWN_IDS):
                    onward.write(pack(first, body))
                await onward.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass

    def _publish(self, device, first, body, onward, back, up):
        length = int.from_bytes(body[:2], "big")
        topic, at = body[2:2 + length].decode(), 2 + length
        reliable = bool(first & 6)
        number = body[at:at + 2] if reliable else b""
        message = Message(device, up, topic, body[at + len(number):], bool(first & 1), time.monotonic())
        self.seen.append(message)
        fate = self.rule(message)
        if fate in (PASS, TWICE):
            onward.write(pack(first, body))
        elif reliable:
            back.write(pack(PUBACK << 4, number))  # as if it had gone on
        if fate == HOLD:
            self.held.append(message)
        if fate == TWICE and up:
            self.number = self.number + 1 if self.number < 65535 else OWN_IDS
            onward.write(publish(topic, message.payload, False, self.number))
        elif fate == TWICE:
            onward.write(publish(topic, message.payload, message.retain))
