# SPDX-License-Identifier: GPL-3.0-or-later
"""in-cse and adn-ae at a real broker without the plugin: TLS with certificates and with pre-shared keys, wrong
credentials, registration, carriage, commands, messages. The secure environment is a fake (fake_secenv.py), the
MN-CSE a test client on a listener of its own."""

import base64
import json
import os
import queue
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from fake_secenv import FakeSecenv
from harness.broker import MOSQUITTO, accepts
from harness.processes import free_ports, wait_until, whole_lines
from harness.site import Device

IN_CSE = "//sp.example/in-cse"
MN_CSE = "//sp.example/mn-1"
DOOR = "//sp.example/Sdoor1"
GROUP = "groupseal/v1/mn-1/doors"
WAIT = 60  # seconds, for what takes one at most where nothing else is to be done


class Secenv(FakeSecenv):
    """With answers that a test chooses: `codes[kind]` is the code of the reply, Speak is "sealed"."""

    def __init__(self, *arguments, profile="member", **options):
        super().__init__(*arguments, **options)
        self.profile = profile
        self.codes = {}

    def _reply(self, request):
        message = self.pb.FromSecenv()
        message.reply.id = request.id
        kind = request.WhichOneof("request")
        message.reply.code = self.codes.get(kind, self.pb.OK)
        if message.reply.code != self.pb.OK:
            message.reply.reason = f"no {kind} today"
        elif kind == "hello":
            message.reply.welcome.profile = self.profile
            message.reply.welcome.identities.append(self.identity)
        elif kind == "received":
            message.reply.answer.object = self.answer
        elif kind == "speak":
            message.reply.spoken.site = "mn-1"
            message.reply.spoken.payload = b"sealed " + request.speak.body
        self.connection.send(message.SerializeToString())
        if kind == "online" and request.online.online:
            self.connected.set()


class PlainBroker:
    """Mosquitto without plugin: listeners for certificates, for pre-shared keys, and one for the test alone."""

    def __init__(self, processes, folder, pki):
        self.processes = processes
        self.folder = Path(folder)
        self.folder.mkdir()
        self.pki = pki
        self.certificate_port, self.psk_port, self.test_port = free_ports(3)
        self.psk_file = pki.psk_file
        self.password_file = None
        self.process = None

    def start(self):
        lines = ["per_listener_settings true", "log_type all", "log_dest stderr", "user root",
                 f"listener {self.certificate_port} 127.0.0.1", f"cafile {self.pki.hop_ca}",
                 f"certfile {self.pki.file('mn-1', 'broker.pem')}", f"keyfile {self.pki.file('mn-1', 'broker.key')}",
                 "require_certificate true", "use_identity_as_username true",
                 f"listener {self.psk_port} 127.0.0.1", "psk_hint groupseal", f"psk_file {self.psk_file}",
                 "use_identity_as_username true", f"listener {self.test_port} 127.0.0.1"]
        lines.append(f"password_file {self.password_file}" if self.password_file else "allow_anonymous true")
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n")
        self.process = self.processes.start("broker", [MOSQUITTO, "-c", path])
        wait_until(lambda: all(accepts(port) for port in (self.certificate_port, self.psk_port, self.test_port)), 10,
                   "the broker listens")

    def stop(self):
        self.process.stop()


class Mn:
    """The MN-CSE's side, played by the test."""

    def __init__(self, port):
        self.received = queue.Queue()
        granted = queue.Queue()
        self.client = mqtt.Client(client_id="test", clean_session=True, protocol=mqtt.MQTTv311)
        self.client.on_message = lambda _client, _data, message: self.received.put(message)
        self.client.on_subscribe = lambda *_arguments: granted.put(True)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_until(self.client.is_connected, 5, "the test connects")
        for topic in ("/oneM2M/#", "groupseal/#"):
            self.client.subscribe(topic, 1)
            granted.get(timeout=WAIT)

    def next(self, *topics):
        """The next message on (one of) these topics; others are passed over."""
        while True:
            message = self.received.get(timeout=WAIT)
            if message.topic in topics:
                return message

    def primitive(self, topic):
        return json.loads(self.next(topic).payload)

    def publish(self, topic, payload, retain=False):
        """The broker has it when this returns."""
        self.say(topic, payload, retain).wait_for_publish(WAIT)

    def say(self, topic, payload, retain=False):
        """Without waiting."""
        text = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
        return self.client.publish(topic, text, 1, retain)

    def register(self, stem="Sdoor1"):
        """Answers a registration. It is on `req` where an earlier one was before we listened."""
        message = self.next(f"/oneM2M/reg_req/{stem}/mn-1/json", f"/oneM2M/req/{stem}/mn-1/json")
        request = json.loads(message.payload)
        assert request["op"] == 1 and request["ty"] == 2
        self.publish(message.topic.replace("req/", "resp/"), {"rsc": 2001, "rqi": request["rqi"], "rvi": "3"})
        return request

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


class Bench:
    """Broker, fake secure environment, the device's files, and the program itself."""

    def __init__(self, tmp_path, build, processes, pki):
        self.folder = tmp_path
        self.build = build
        self.processes = processes
        self.sockets = Path(tempfile.mkdtemp(prefix="groupseal-"))
        self.pki = pki
        pki.make("broker", "mn-1", "--address", "localhost")
        pki.make("device", "Sdoor1")
        pki.make("psk", "Sdoor1")
        self.broker = PlainBroker(processes, tmp_path / "broker", pki)
        self.secenv = Secenv(tmp_path, self.sockets / "secenv", identity=DOOR)
        self.mn = None

    def broker_section(self, hop, host="localhost"):
        if hop == "cert":
            return (f'broker {{ uri = "mqtts://{host}:{self.broker.certificate_port}" ca = "{self.pki.hop_ca}"\n'
                    f'certificate = "{self.pki.file("Sdoor1", "hop.pem")}"\n'
                    f'private-key = "{self.pki.file("Sdoor1", "hop.key")}" }}\n')
        if hop == "psk":
            return (f'broker {{ uri = "mqtts://{host}:{self.broker.psk_port}" psk-identity = "Sdoor1"\n'
                    f'psk-file = "{self.folder / "hop.psk"}" }}\n')
        return f'broker {{ uri = "mqtt://{host}:{self.broker.test_port}" {hop} }}\n'

    def configure(self, hop, more="", **options):
        shutil.copy(self.pki.file("Sdoor1", "hop.psk"), self.folder / "hop.psk")
        path = self.folder / "adn-ae.conf"
        path.write_text(f'identity = "{DOOR}"\nregistrar = "{MN_CSE}"\nlog-level = "debug"\n'
                        f'secenv {{ socket = "{self.secenv.path}" }}\n' + self.broker_section(hop, **options) + more)
        return path

    def start_device(self, *arguments, **options):
        return self.processes.start("adn-ae", [self.build / "bin" / "adn-ae", "run", "--config",
                                               self.folder / "adn-ae.conf", *arguments], **options)

    def online(self, hop="psk", more=""):
        """All is well: registered, and the secure environment knows."""
        self.broker.start()
        self.mn = Mn(self.broker.test_port)
        self.secenv.start()
        self.configure(hop, more)
        device = self.start_device()
        self.mn.register()
        assert self.secenv.connected.wait(WAIT)
        return device

    def join(self, *blocks):
        places = [self.secenv.pb.TreePlace(row=row, column=column) for row, column in blocks]
        self.secenv.event(joined=self.secenv.pb.Joined(group="doors", sites=["mn-1"], blocks=places))

    def stop(self):
        if self.mn:
            self.mn.stop()
        self.secenv.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)


@pytest.fixture
def bench(tmp_path, build, processes, pki):
    made = Bench(tmp_path, build, processes, pki)
    yield made
    made.stop()


def said(process, text):
    return process.text().count(text)


def wait_said(process, text, seconds=10, times=1):
    wait_until(lambda: said(process, text) >= times, seconds, f"{process.name} says: {text}\n{process.text()}")


# -- the broker's connection --------------------------------------------------------------------------------


@pytest.mark.parametrize("hop", ["cert", "psk"])
def test_tls(bench, hop):
    device = bench.online(hop)
    assert said(device, "connected to the broker") == 1
    assert "warning" not in device.text()
    log = bench.broker.process.text()
    assert "as A::Sdoor1 (p2, c0, k30, u'Sdoor1')" in log  # MQTT 3.1.1, clean session false, who we are
    assert device.stop() == 0


def test_wrong_key_is_said_once_and_mended(bench):
    bench.broker.start()
    bench.configure("psk")
    (bench.folder / "hop.psk").write_text("00" * 32)
    device = bench.start_device()
    wait_said(device, "it has another pre-shared key")
    wait_said(device, "still", 15)  # tried again, and not said again
    assert said(device, "warning: TLS with the broker") == 1
    # The broker's side is mended: the device comes back by itself, and says so once.
    broken = bench.pki.psk_file.read_text()
    bench.broker.psk_file = bench.folder / "psk_file"
    bench.broker.psk_file.write_text(f"Sdoor1:{'00' * 32}\n")
    assert broken != bench.broker.psk_file.read_text()
    bench.broker.stop()
    bench.broker.start()
    wait_said(device, "connected to the broker", 30)


def test_unknown_psk_identity(bench):
    bench.broker.psk_file = bench.folder / "psk_file"
    bench.broker.psk_file.write_text("Sother:" + "00" * 32 + "\n")
    bench.broker.start()
    bench.configure("psk")
    device = bench.start_device()
    wait_said(device, "warning: TLS with the broker")


@pytest.mark.parametrize("hop", ["cert", "psk"])
def test_server_that_is_not_ours(bench, hop):
    """With certificates: from another CA. With a pre-shared key: no certificate at all is good enough, not even
    one of the CA that this device would trust in the other mode."""
    if hop == "cert":
        other = type(bench.pki)(bench.folder / "other")
        other.make("broker", "mn-1", "--address", "localhost")
        bench.broker.pki = other
    bench.broker.start()
    bench.configure(hop)
    if hop == "psk":
        path = bench.folder / "adn-ae.conf"
        path.write_text(path.read_text().replace(str(bench.broker.psk_port), str(bench.broker.certificate_port)))
    device = bench.start_device()
    wait_said(device, "warning: TLS with the broker")
    wait_said(device, "still", 15)
    assert said(device, "connected") == 0


def test_wrong_host_name(bench):
    bench.broker.start()
    bench.configure("cert", host="127.0.0.1")  # the certificate names localhost only
    device = bench.start_device()
    wait_said(device, "its certificate does not name that host")
    assert said(device, "connected") == 0


def test_missing_credential_files_end_it(bench):
    bench.configure("psk")
    (bench.folder / "hop.psk").unlink()
    device = bench.start_device()
    wait_until(lambda: not device.running(), 5, "it ends")
    assert device.popen.returncode == 1
    assert "cannot read the pre-shared key" in device.text()


def test_password(bench):
    bench.broker.password_file = bench.folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", bench.broker.password_file, "Sdoor1", "right"], check=True)
    bench.broker.start()
    password = bench.folder / "password"
    password.write_text("wrong\n")
    bench.configure(f'user-name = "Sdoor1" password-file = "{password}"')
    device = bench.start_device()
    wait_said(device, "does not authorise A::Sdoor1")
    wait_said(device, "still", 15)
    assert said(device, "warning: the broker at") == 1
    device.stop()
    password.write_text("right\n")
    device = bench.start_device()
    wait_said(device, "connected to the broker")


def test_broker_restarts(bench):
    device = bench.online()
    wait_until(lambda: bench.secenv.requested("online").online, 5, "online")
    bench.join((0, 3), (1, 0))
    wait_until(lambda: f"{GROUP}/cmd" in bench.broker.process.text(), 5, "cmd is subscribed")
    bench.mn.stop()
    bench.broker.stop()
    assert not bench.secenv.requested("online").online
    wait_said(device, "is lost")
    bench.broker.start()
    bench.mn = Mn(bench.broker.test_port)
    bench.mn.register()
    assert bench.secenv.requested("online").online
    for topic in ("cmd", "msg/+", "epoch", "policy", "tree/0/3", "tree/1/0"):  # all again
        line = f"A::Sdoor1 {1 if topic in ('cmd', 'msg/+') else 0} {GROUP}/{topic}"
        wait_until(lambda line=line: line in bench.broker.process.text(), 10, line)  # in the log of this run

    def asked(topic):
        return bench.broker.process.text().count(f" {GROUP}/{topic}\n")

    # The secure environment says its groups at each connection: that is no reason to ask again. Said once more
    # (a new leaf, or it has started anew) what is retained is wanted again.
    bench.join((0, 3), (1, 0))
    bench.join((0, 3), (1, 0))
    wait_until(lambda: asked("epoch") == 2, 5, "what is retained is asked for again")
    assert [asked(topic) for topic in ("cmd", "msg/+", "tree/0/3", "policy")] == [1, 1, 2, 2]
    assert said(device, "warning: the connection to the broker") == 1
    assert said(device, "warning: no TLS connection to the broker") <= 1


def test_another_client_with_our_id(bench):
    """They push each other out for ever; that is said, not logged for ever."""
    device = bench.online()
    rival = mqtt.Client(client_id="A::Sdoor1", protocol=mqtt.MQTTv311)
    rival.reconnect_delay_set(1, 1)
    rival.connect("127.0.0.1", bench.broker.test_port)
    rival.loop_start()
    wait_said(device, "is another client using this id", 30)
    wait_said(device, "still", 30)
    rival.disconnect()
    rival.loop_stop()
    assert said(device, f"warning: the broker at mqtts://localhost:{bench.broker.psk_port} ends") == 1


# -- registration and carriage ------------------------------------------------------------------------------


def test_registration_is_retried_on_req(bench):
    bench.broker.start()
    bench.mn = Mn(bench.broker.test_port)
    bench.secenv.start()
    bench.configure("psk")
    device = bench.start_device()
    first = bench.mn.primitive("/oneM2M/reg_req/Sdoor1/mn-1/json")  # nobody answers
    assert first["op"] == 1 and first["ty"] == 2 and first["fr"] == DOOR and first["to"] == MN_CSE
    assert first["pc"]["m2m:ae"]["rr"] is True
    second = bench.mn.primitive("/oneM2M/req/Sdoor1/mn-1/json")
    assert second["op"] == 1 and second["rqi"] != first["rqi"]
    assert said(device, "does not answer the registration") == 1
    assert not bench.secenv.connected.is_set()
    bench.mn.publish("/oneM2M/resp/Sdoor1/mn-1/json", {"rsc": 4117, "rqi": second["rqi"]})  # already registered
    assert bench.secenv.connected.wait(WAIT)


def test_registration_refused_is_said_once(bench):
    bench.broker.start()
    bench.mn = Mn(bench.broker.test_port)
    bench.secenv.start()
    bench.configure("psk")
    device = bench.start_device()
    for _ in range(2):
        request = bench.mn.primitive("/oneM2M/reg_req/Sdoor1/mn-1/json")
        bench.mn.publish("/oneM2M/reg_resp/Sdoor1/mn-1/json", {"rsc": 4106, "rqi": request["rqi"]})
    bench.mn.register()
    assert bench.secenv.connected.wait(WAIT)
    assert said(device, "with status 4106") == 1


def seci(data):
    return {"m2m:seci": {"sit": 6, "eckm": base64.b64encode(data).decode()}}


def test_carriage_to_the_device(bench):
    bench.online()
    topic = "/oneM2M/req/mn-1/Sdoor1/json"
    request = {"op": 5, "to": DOOR, "fr": IN_CSE, "rqi": "r1", "rvi": "3", "pc": seci(b"object")}
    bench.mn.publish(topic, request)
    received = bench.secenv.requested("received")
    assert (received.identity, received.object) == (DOOR, b"object")
    assert getattr(received, "from") == IN_CSE and received.hop == MN_CSE
    response = bench.mn.primitive("/oneM2M/resp/mn-1/Sdoor1/json")
    assert response["rsc"] == 2000 and response["rqi"] == "r1" and response["pc"] == seci(b"answer")

    def status(**changes):
        bench.mn.publish(topic, {**request, **changes})
        return bench.mn.primitive("/oneM2M/resp/mn-1/Sdoor1/json")["rsc"]

    assert status(to="//sp.example/Sdoor2") == 4004
    assert status(pc={"m2m:sgn": {}}) == 4000
    assert status(op=2) == 4005
    assert status(rqet="20200101T000000") == 4008
    assert status(to="/Sdoor1") == 2000  # SP-relative: us too
    bench.secenv.codes["received"] = bench.secenv.pb.REFUSED
    assert status() == 4000
    bench.secenv.stop()
    assert status() == 5103  # what is for us cannot be reached


def test_carriage_from_the_device(bench):
    bench.online()
    pb = bench.secenv.pb
    bench.secenv.event(send=pb.Send(token=7, to=IN_CSE, object=b"flight"))
    request = bench.mn.primitive("/oneM2M/req/Sdoor1/mn-1/json")
    assert (request["op"], request["to"], request["fr"]) == (5, IN_CSE, DOOR)
    assert request["pc"] == seci(b"flight")
    bench.mn.publish("/oneM2M/resp/Sdoor1/mn-1/json", {"rsc": 2000, "rqi": "another", "pc": seci(b"no")})
    bench.mn.publish("/oneM2M/resp/Sdoor1/mn-1/json", {"rsc": 2000, "rqi": request["rqi"], "pc": seci(b"back")})
    answered = bench.secenv.requested("answered")
    assert (answered.token, answered.object, answered.failure) == (7, b"back", "")
    # A status without an object, and no answer at all.
    bench.secenv.event(send=pb.Send(token=8, to=IN_CSE, object=b"flight"))
    request = bench.mn.primitive("/oneM2M/req/Sdoor1/mn-1/json")
    bench.mn.publish("/oneM2M/resp/Sdoor1/mn-1/json", {"rsc": 5103, "rqi": request["rqi"]})
    answered = bench.secenv.requested("answered")
    assert answered.token == 8 and not answered.object and "5103" in answered.failure
    bench.secenv.event(send=pb.Send(token=9, to=IN_CSE, object=b"flight"))
    answered = bench.secenv.requested("answered")
    assert answered.token == 9 and answered.failure == "no response in time"
    # The connection is lost meanwhile.
    bench.secenv.event(send=pb.Send(token=10, to=IN_CSE, object=b"flight"))
    bench.mn.primitive("/oneM2M/req/Sdoor1/mn-1/json")
    bench.broker.stop()
    answered = bench.secenv.requested("answered")
    assert answered.token == 10 and "lost" in answered.failure


def test_largest_object(bench):
    """One that is longer than an EndToEnd may be reaches no secure environment, in a request or a response."""
    bench.online()
    pb = bench.secenv.pb
    limit = 48 * 1024
    request = {"op": 5, "to": DOOR, "fr": IN_CSE, "rvi": "3"}
    for number, (size, status) in enumerate(((limit + 1, 4000), (limit, 2000), (70000, 4000))):
        bench.mn.publish("/oneM2M/req/mn-1/Sdoor1/json", request | {"rqi": f"r{number}", "pc": seci(b"x" * size)})
        assert bench.mn.primitive("/oneM2M/resp/mn-1/Sdoor1/json")["rsc"] == status
    assert len(bench.secenv.requested("received").object) == limit
    for size in (limit + 1, limit):
        bench.secenv.event(send=pb.Send(token=size, to=IN_CSE, object=b"flight"))
        sent = bench.mn.primitive("/oneM2M/req/Sdoor1/mn-1/json")
        bench.mn.publish("/oneM2M/resp/Sdoor1/mn-1/json", {"rsc": 2000, "rqi": sent["rqi"], "pc": seci(b"x" * size)})
        answered = bench.secenv.requested("answered")
        assert answered.token == size
        assert (len(answered.object), bool(answered.failure)) == ((limit, False) if size == limit else (0, True))


def test_secure_environment_is_lost(bench):
    device = bench.online()
    bench.secenv.stop()
    wait_said(device, "the secure environment is gone")
    bench.secenv.start()
    assert bench.secenv.connected.wait(WAIT)
    wait_said(device, "the secure environment is ready", times=2)
    assert said(device, "warning: the secure environment") == 1


def test_secure_environment_of_another(bench):
    bench.secenv.identity = "//sp.example/Sdoor2"
    bench.broker.start()
    bench.secenv.start()
    bench.configure("psk")
    device = bench.start_device()
    wait_said(device, f"does not hold {DOOR}")
    bench.secenv.identity = DOOR
    wait_said(device, "the secure environment is ready", 15)


# -- groups -------------------------------------------------------------------------------------------------


def test_group_topics(bench):
    bench.online()
    pb = bench.secenv.pb
    bench.mn.publish(f"{GROUP}/policy", b"policy", retain=True)
    bench.mn.publish(f"{GROUP}/tree/1/2", b"block", retain=True)
    bench.mn.publish(f"{GROUP}/epoch", b"epoch", retain=True)
    bench.secenv.event(joined=pb.Joined(group="doors", sites=[MN_CSE], blocks=[pb.TreePlace(row=1, column=2)]))
    heard = [bench.secenv.requested("heard") for _ in range(3)]
    assert [(one.kind, one.payload, one.retained) for one in heard] == [
        (pb.TOPIC_TREE, b"block", True), (pb.TOPIC_POLICY, b"policy", True), (pb.TOPIC_EPOCH, b"epoch", True)]
    assert (heard[0].row, heard[0].column, heard[0].site, heard[0].group) == (1, 2, "mn-1", "doors")
    # Asked again: the retained ones only.
    bench.secenv.event(resubscribe=pb.Resubscribe(group="doors"))
    assert [bench.secenv.requested("heard").kind for _ in range(3)] == [pb.TOPIC_TREE, pb.TOPIC_POLICY, pb.TOPIC_EPOCH]
    # Commands and messages of others, not our own.
    bench.mn.publish(f"{GROUP}/msg/Sdoor1", b"echo")
    bench.mn.publish(f"{GROUP}/cmd", b"command")
    bench.mn.publish(f"{GROUP}/msg/mn-1:Cdoor2", b"message")
    heard = [bench.secenv.requested("heard") for _ in range(2)]
    assert (heard[0].kind, heard[0].payload, heard[0].sender) == (pb.TOPIC_COMMAND, b"command", "")
    assert (heard[1].kind, heard[1].sender) == (pb.TOPIC_MESSAGE, "//sp.example/mn-1/Cdoor2")
    # What the secure environment publishes.
    bench.secenv.publish(pb.TOPIC_ACK, b"receipt")
    assert bench.mn.next(f"{GROUP}/ack/Sdoor1").payload == b"receipt"
    bench.secenv.event(departed=pb.Departed(group="doors", reason="evicted"))
    wait_until(lambda: bench.broker.process.text().count("Received UNSUBSCRIBE from A::Sdoor1") == 5, 5, "gone")


def heard_blocks(bench):
    """Places of the tree in what has been heard up to a marker."""
    marker = os.urandom(8).hex().encode()
    bench.mn.publish(f"{GROUP}/cmd", marker)
    places = []
    while (one := bench.secenv.requested("heard")).payload != marker:
        if one.kind == bench.secenv.pb.TOPIC_TREE:
            places.append((one.row, one.column))
    return places


def test_blocks_of_the_own_path_alone(bench):
    """Retained ones at once, changed ones as they come, and no others; another leaf, other blocks."""
    bench.online()
    for column in range(8):
        bench.mn.publish(f"{GROUP}/tree/0/{column}", b"block", retain=True)
    bench.mn.publish(f"{GROUP}/tree/1/0", b"block", retain=True)
    bench.join((0, 3), (1, 0), (2, 0), (3, 0))
    assert [bench.secenv.requested("heard").row for _ in range(2)] == [0, 1]
    for column in range(8):
        bench.mn.publish(f"{GROUP}/tree/0/{column}", b"changed", retain=True)
    bench.mn.publish(f"{GROUP}/tree/2/0", b"a row that grew", retain=True)  # nothing was there before
    assert heard_blocks(bench) == [(0, 3), (2, 0)]
    bench.join((0, 6), (1, 0), (2, 0), (3, 0))
    moved = [bench.secenv.requested("heard") for _ in range(3)]
    assert sorted((one.row, one.column) for one in moved if one.retained) == [(0, 6), (1, 0), (2, 0)]
    for column in range(8):
        bench.mn.publish(f"{GROUP}/tree/0/{column}", b"changed", retain=True)
    assert heard_blocks(bench) == [(0, 6)]


def output(device, event):
    lines = [json.loads(line) for line in whole_lines(device.out)]
    return [line for line in lines if line["event"] == event]


def test_commands(bench):
    program = bench.folder / "act"
    program.write_text('#!/bin/sh\nread -r what\n[ "$what" = close ] && echo "closed for $GROUPSEAL_GROUP" && exit 0\n'
                       'echo jammed; exit 4\n')
    program.chmod(0o755)
    device = bench.online(more=f'command-program = "{program}"\n')
    pb = bench.secenv.pb
    for number, body in ((1, b"close"), (2, b"open")):
        bench.secenv.event(command=pb.CommandEvent(group="doors", command_id=bytes([number] * 16), body=body,
                                                   remaining_ms=10000, commander=IN_CSE))
    first = bench.secenv.requested("finished")
    assert (first.identity, first.group, first.command_id) == (DOOR, "doors", bytes([1] * 16))
    assert first.done and first.detail == "closed for doors"
    second = bench.secenv.requested("finished")
    assert second.command_id == bytes([2] * 16) and not second.done and second.detail == "jammed"
    wait_until(lambda: len(output(device, "command")) == 2, 10, "both are printed")
    assert [line["outcome"] for line in output(device, "command")] == ["done", "failed"]


def test_result_is_kept_while_secenv_is_away(bench):
    program = bench.folder / "act"
    program.write_text(f"#!/bin/sh\nwhile [ ! -e {bench.folder}/go ]; do sleep 0.05; done\n")
    program.chmod(0o755)
    device = bench.online(more=f'command-program = "{program}"\n')
    bench.secenv.event(command=bench.secenv.pb.CommandEvent(group="doors", command_id=b"i" * 16, remaining_ms=60000))
    wait_said(device, "command in doors")
    bench.secenv.stop()
    (bench.folder / "go").touch()
    wait_until(lambda: output(device, "command"), 5, "it ran")
    bench.secenv.start()
    assert bench.secenv.requested("finished").done


def test_no_command_program(bench):
    bench.online()
    bench.secenv.event(command=bench.secenv.pb.CommandEvent(group="doors", command_id=b"i" * 16, remaining_ms=1000))
    finished = bench.secenv.requested("finished")
    assert not finished.done and "no command program" in finished.detail


def test_messages_heard(bench):
    device = bench.online()
    pb = bench.secenv.pb
    bench.secenv.event(message=pb.MessageEvent(group="doors", sender="//sp.example/Sdoor2", body="heiß".encode()))
    bench.secenv.event(message=pb.MessageEvent(group="doors", sender="//sp.example/Sdoor2", body=b"\xff\0", proven=True))
    wait_until(lambda: len(output(device, "message")) == 2, 5, "they are printed")
    assert output(device, "message") == [
        {"event": "message", "group": "doors", "sender": "//sp.example/Sdoor2", "proven": False, "text": "heiß"},
        {"event": "message", "group": "doors", "sender": "//sp.example/Sdoor2", "proven": True, "base64": "/wA="}]


def test_output_that_nobody_reads(bench):
    """It stops nothing; what is missing is said, and later events are written again."""
    bench.broker.start()
    bench.mn = Mn(bench.broker.test_port)
    bench.secenv.start()
    bench.configure("psk")
    device = bench.start_device(stdout=subprocess.PIPE)
    bench.mn.register()
    assert bench.secenv.connected.wait(WAIT)
    pb = bench.secenv.pb
    bench.secenv.connection.settimeout(WAIT)  # where the device stops, its secure environment can only wait
    body = b"x" * 16000
    count = 120
    for number in range(count):
        bench.secenv.event(message=pb.MessageEvent(group="doors", sender="//sp.example/Sdoor2", body=body))
    bench.secenv.event(command=pb.CommandEvent(group="doors", command_id=b"i" * 16, remaining_ms=1000))
    assert not bench.secenv.requested("finished").done  # it was taken, all the same
    wait_said(device, "standard output is not read", 5)
    os.set_blocking(device.popen.stdout.fileno(), False)
    read = bytearray()

    def reads(condition):
        def step():
            read.extend(device.popen.stdout.read() or b"")
            return condition()
        return step

    wait_until(reads(lambda: said(device, "is read again")), 10, "it goes on", every=0.001)
    missing = int(device.text().split("is read again; ")[1].split()[0])
    bench.secenv.event(message=pb.MessageEvent(group="doors", sender="//sp.example/Sdoor2", body=b"last"))
    wait_until(reads(lambda: read.endswith(b'"last"}\n')), 10, "the last event", every=0.001)
    lines = read.splitlines()
    assert all(json.loads(line)["event"] in ("message", "command") for line in lines)  # whole ones
    assert 1024 * 1024 // 17000 < len(lines) < count and len(lines) + missing == count + 2


class Local:
    """A connection to the message socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT)
        wait_until(lambda: Path(path).exists(), 5, "the message socket is there")
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def write(self, data):
        self.socket.sendall(data)

    def answer(self):
        return self.file.readline()


def test_message_socket(bench):
    path = bench.sockets / "say"
    bench.online(more=f'message-socket = "{path}"\n')
    assert path.stat().st_mode & 0o777 == 0o660
    local = Local(path)
    local.write(b"doors heat 71\ndoors again\n")
    bench.secenv.requested("speak")
    bench.join()  # it waited for that
    assert bench.mn.next(f"{GROUP}/msg/Sdoor1").payload == b"sealed heat 71"
    assert bench.mn.next(f"{GROUP}/msg/Sdoor1").payload == b"sealed again"
    assert [local.answer(), local.answer()] == [b"ok\n", b"ok\n"]
    for wrong in (b"doors\n", b"no/group x\n", b"doors " + b"x" * 16385 + b"\n", b"x" * 40000 + b"\n"):
        local.write(wrong)
        assert local.answer().startswith(b"error ")
    bench.secenv.codes["speak"] = bench.secenv.pb.REFUSED
    local.write(b"doors x\n")
    assert local.answer() == b"error no speak today\n"
    bench.secenv.codes.clear()
    local.write(b"doors " + b"x" * 16384 + b"\n")
    assert local.answer() == b"ok\n"
    other = Local(path)
    other.write(b"doors last without an end")
    other.socket.shutdown(socket.SHUT_WR)
    assert other.answer() == b""  # an unfinished line is no message


def test_message_socket_of_another(bench):
    """A second device does not take the first one's socket away; what nobody listens on is replaced."""
    path = bench.sockets / "say"
    device = bench.online(more=f'message-socket = "{path}"\n')
    Local(path)
    second = bench.processes.start("second", device.arguments)
    wait_until(lambda: not second.running(), 5, "the second ends")
    assert second.popen.returncode == 1 and "another process listens" in second.text()
    bench.join()
    local = Local(path)
    local.write(b"doors mine\n")
    assert local.answer() == b"ok\n"
    device.kill()  # its socket stays
    assert path.exists()
    third = bench.start_device()
    bench.mn.register()
    Local(path)
    assert third.running()


@pytest.mark.parametrize("code", ["NOT_READY", "TOO_OFTEN"])
def test_message_waits_for_the_key_and_for_its_rate(bench, code):
    path = bench.sockets / "say"
    bench.secenv.codes["speak"] = bench.secenv.pb.Code.Value(code)
    bench.online(more=f'message-socket = "{path}"\n')
    bench.join()
    local = Local(path)
    local.write(b"doors first\n")
    bench.secenv.requested("speak")
    bench.secenv.requested("speak")  # tried again
    bench.secenv.codes.clear()
    assert local.answer() == b"ok\n"
    assert bench.mn.next(f"{GROUP}/msg/Sdoor1").payload == b"sealed first"


def test_message_waits_for_the_mn_cse(make_site):
    """After the broker has started again its MN-CSE knows no group's members until its secure environment has
    told them, and would drop what a member says: "ok" comes when it does not."""
    site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")])
    site.start_all({"doors": "door"})
    assert site.say("Sdoor1", "doors", "before") == "ok"
    wait_until(lambda: [event["text"] for event in site.heard("Sdoor2")] == ["before"], 10, "it is heard")
    site.running["secenv-mn"].kill()
    site.running["broker"].kill()
    site.start_broker()
    for stem in site.devices:
        wait_said(site.running[stem], "connected to the broker", 20, times=2)
    local = Local(site.socket("Sdoor1-say"))
    local.socket.settimeout(4)
    local.write(b"doors fire\n")
    with pytest.raises(TimeoutError):
        local.answer()
    site.start_secenv("mn")
    answering = Local(site.socket("Sdoor1-say"))  # behind the first
    answering.socket.settimeout(WAIT)
    answering.write(b"doors hot\n")
    assert answering.answer() == b"ok\n"
    # Other devices hear it where they have their subscriptions again by then; the MN-CSE has it.
    wait_until(lambda: site.counter("mn", "messages_opened") == 2, 10, "the MN-CSE has both")
    site.say_until_heard("Sdoor1", "doors", "cold", ["Sdoor2"], 30)


def test_standard_input(bench):
    bench.broker.start()
    bench.mn = Mn(bench.broker.test_port)
    bench.secenv.start()
    bench.configure("cert")
    device = bench.start_device("--stdin", stdin=subprocess.PIPE)
    device.popen.stdin.write(b"doors early\n\nnonsense\ndoors late\n")
    device.popen.stdin.close()
    bench.mn.register()
    assert bench.secenv.connected.wait(WAIT)
    bench.join()
    assert bench.mn.next(f"{GROUP}/msg/Sdoor1").payload == b"sealed early"  # it waited for the connection
    assert bench.mn.next(f"{GROUP}/msg/Sdoor1").payload == b"sealed late"
    wait_said(device, "a line must be")
    assert device.running()


# -- the IN-CSE's side --------------------------------------------------------------------------------------


def test_burst(bench):
    """More answers at once than Paho would buffer by itself."""
    bench.online()
    count = 2000
    for number in range(count):
        bench.mn.say("/oneM2M/req/mn-1/Sdoor1/json",
                     {"op": 5, "to": DOOR, "fr": IN_CSE, "rqi": f"r{number}", "rvi": "3", "pc": seci(b"object")})
    answered = {bench.mn.primitive("/oneM2M/resp/mn-1/Sdoor1/json")["rqi"] for _ in range(count)}
    assert len(answered) == count


def test_in_cse_ferries(bench):
    bench.pki.make("in-cse")
    bench.broker.start()
    bench.mn = Mn(bench.broker.test_port)
    secenv = Secenv(bench.folder, bench.sockets / "authority", identity=IN_CSE, profile="authority")
    secenv.start()
    path = bench.folder / "in-cse.conf"
    path.write_text(bench.broker_section("cert").replace("Sdoor1", "in-cse") +
                    f'identity = "{IN_CSE}"\nsecenv {{ socket = "{secenv.path}" }}\n')
    in_cse = bench.processes.start("in-cse", [bench.build / "bin" / "in-cse", "run", "--config", path])
    try:
        assert secenv.connected.wait(WAIT)
        assert "as C::in-cse (p2, c0, k30, u'in-cse')" in bench.broker.process.text()
        wait_until(lambda: "C::in-cse 1 /oneM2M/req/" in bench.broker.process.text(), 10, "in-cse listens to requests")
        bench.mn.publish("/oneM2M/req/mn-1/in-cse/json", {"op": 5, "to": IN_CSE, "fr": "Cdoor2", "rqi": "r1",
                                                          "pc": seci(b"hello")})
        received = secenv.requested("received")
        # A C-type stem is one of the MN-CSE that forwarded it, which is also whom the hop authenticated.
        assert getattr(received, "from") == "//sp.example/mn-1/Cdoor2" and received.hop == MN_CSE
        assert bench.mn.primitive("/oneM2M/resp/mn-1/in-cse/json")["pc"] == seci(b"answer")
        for to, via, level in ((DOOR, MN_CSE, "mn-1"), (MN_CSE, "", "mn-1"), (DOOR, "", "Sdoor1")):
            secenv.event(send=secenv.pb.Send(token=3, to=to, via=via, object=b"record"))
            request = bench.mn.primitive(f"/oneM2M/req/in-cse/{level}/json")
            assert (request["to"], request["fr"]) == (to, IN_CSE)
            bench.mn.publish(f"/oneM2M/resp/in-cse/{level}/json",
                             {"rsc": 2000, "rqi": request["rqi"], "pc": seci(b"accept")})
            assert secenv.requested("answered").object == b"accept"
        # With its secure environment gone, then back.
        secenv.stop()
        wait_said(in_cse, "the secure environment is gone")
        secenv.start()
        assert secenv.connected.wait(WAIT)
        assert in_cse.stop() == 0
    finally:
        secenv.stop()
