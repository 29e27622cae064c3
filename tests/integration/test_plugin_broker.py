# SPDX-License-Identifier: GPL-3.0-or-later
"""mn_cse.so in Debian's Mosquitto: loading and refusing, registration, forwarding, the topic table, and a
secure environment that comes and goes. The secure environment is a fake (fake_secenv.py)."""

import base64
import json
import queue
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from fake_secenv import FakeSecenv
from harness.broker import MOSQUITTO, Broker, accepts, broker_environment
from harness.processes import REPOSITORY, free_ports, run, wait_until

IN_CSE = "//sp.example/in-cse"
MN_CSE = "//sp.example/mn-1"
DOOR = "//sp.example/Sdoor1"
GROUP = "groupseal/v1/mn-1/doors"


VERSION = tuple(int(number) for number in re.search(r"version (\d+)\.(\d+)\.(\d+)", subprocess.run(
    [MOSQUITTO, "-h"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout).groups())


class Client:
    """An MQTT client with a certificate of the hop's CA."""

    def __init__(self, broker, pki, name, will=None, client_id=None, clean=True):
        self.name = name
        self.received = queue.Queue()
        self.granted = queue.Queue()
        self.client = mqtt.Client(client_id=client_id or name, clean_session=clean, protocol=mqtt.MQTTv311)
        self.client.tls_set(ca_certs=str(pki.hop_ca), certfile=str(pki.file(name, "hop.pem")),
                            keyfile=str(pki.file(name, "hop.key")), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.on_message = lambda _client, _data, message: self.received.put(message)
        self.client.on_subscribe = lambda _client, _data, _mid, granted: self.granted.put(granted)
        if will:
            self.client.will_set(will, b"will", 1, False)
        self.client.connect("localhost", broker.certificate_port)
        self.client.loop_start()
        wait_until(self.client.is_connected, 20, f"{name} connects")

    def subscribe(self, topic, qos=1):
        """True where the broker grants it."""
        self.client.subscribe(topic, qos)
        return self.granted.get(timeout=20)[0] != 128

    def publish(self, topic, payload, retain=False):
        self.client.publish(topic, payload, 1, retain).wait_for_publish(20)

    def request(self, rqi, to, fr, **more):
        primitive = {"op": 5, "to": to, "fr": fr, "rqi": rqi, "rvi": "3", **more}
        self.publish(f"/oneM2M/req/{self.name}/mn-1/json", json.dumps(primitive))

    def next(self, topic, seconds=20):
        """The next message, which must be on this topic."""
        message = self.received.get(timeout=seconds)
        assert message.topic == topic
        return message

    def primitive(self, topic, seconds=20):
        return json.loads(self.next(topic, seconds).payload)

    def silent(self, seconds=0.5):
        try:
            message = self.received.get(timeout=seconds)
        except queue.Empty:
            return True
        raise AssertionError(f"{self.name} got {message.topic}")

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        """The connection breaks without a DISCONNECT."""
        self.client.socket().shutdown(2)
        self.client.loop_stop()


def seci(content):
    return {"m2m:seci": {"sit": 6, "eckm": base64.b64encode(content).decode()}}


def options(socket):
    return {"cse_id": MN_CSE, "in_cse": IN_CSE, "identity": "//sp.example/%u", "foreign": "allow",
            "secenv_socket": socket}


@pytest.fixture
def sockets():
    folder = Path(tempfile.mkdtemp(prefix="groupseal-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def secenv(tmp_path, sockets):
    fake = FakeSecenv(tmp_path, sockets / "owner")
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def credentials(pki):
    pki.make("in-cse")
    pki.make("broker", "mn-1", "--address", "localhost", "--address", "127.0.0.1")
    for stem in ("Sdoor1", "Sdoor2", "Sspy1"):
        pki.make("device", stem)
    pki.make("psk", "Spsk1", "hop")
    return pki


@pytest.fixture
def broker(processes, tmp_path, credentials, build, secenv):
    made = Broker(processes, tmp_path / "broker", credentials, "mn-1", build, options(secenv.path))
    made.start()
    assert secenv.connected.wait(20)
    return made


@pytest.fixture
def connect(broker, credentials):
    clients = []

    def start(name, **more):
        clients.append(Client(broker, credentials, name, **more))
        return clients[-1]

    yield start
    for client in clients:
        client.stop()


@pytest.fixture
def in_cse(connect):
    client = connect("in-cse")
    assert client.subscribe("/oneM2M/req/+/in-cse/#") and client.subscribe("/oneM2M/resp/in-cse/#")
    return client


@pytest.fixture
def door(connect):
    client = connect("Sdoor1")
    for topic in ("req/+/Sdoor1/#", "resp/Sdoor1/#", "reg_resp/Sdoor1/#"):
        assert client.subscribe(f"/oneM2M/{topic}")
    return client


# -- configuration ----------------------------------------------------------------------------------------------


def start_with(processes, folder, build, plugin, name, before=()):
    """A broker with these plugin options; it ends at once, or listens."""
    port = free_ports(1)[0]
    configuration = folder / f"{name}.conf"
    lines = [*before, "allow_anonymous true", "user root", f"plugin {build}/lib/mn_cse.so"]
    for option, value in plugin.items():
        lines += [f"plugin_opt_{option} {value}" for value in (value if isinstance(value, list) else [value])]
    if "per_listener_settings true" in before:
        lines.remove("allow_anonymous true")
        lines.insert(len(before), f"listener {port} 127.0.0.1")
        lines.insert(len(before) + 1, "allow_anonymous true")
    else:
        lines.append(f"listener {port} 127.0.0.1")
    configuration.write_text("\n".join(lines) + "\n")
    process = processes.start(name, [MOSQUITTO, "-c", configuration], env=broker_environment())
    return process, port


WRONG = [
    ("cse_id", None, "plugin_opt_cse_id //sp.example/mn-1"),
    ("cse_id", "mn-1", "plugin_opt_cse_id //sp.example/mn-1"),
    ("cse_id", "//sp.example/Sdoor", "plugin_opt_cse_id //sp.example/mn-1"),
    ("in_cse", None, "plugin_opt_in_cse //sp.example/in-cse"),
    ("in_cse", MN_CSE, "another CSE"),
    ("identity", None, "plugin_opt_identity //sp.example/%u"),
    ("identity", "//sp.example/x", "plugin_opt_identity //sp.example/%u"),
    ("foreign", None, "plugin_opt_foreign defer"),
    ("foreign", "maybe", "plugin_opt_foreign allow"),
    ("secenv_socket", None, "plugin_opt_secenv_socket"),
    ("secenv_socket", "relative", "absolute path"),
    ("secenv_store", "/tmp/store", "not both"),
    ("mode", "watch", "plugin_opt_mode observe"),
    ("settings", "/does/not/exist", "cannot be read"),
    ("foreign", ["allow", "defer"], "twice"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_option_is_refused_with_the_line_to_write(processes, tmp_path, build, number):
    name, value, line = WRONG[number]
    plugin = options("/tmp/nobody.sock")
    if value is None:
        del plugin[name]
    else:
        plugin[name] = value
    process, _ = start_with(processes, tmp_path, build, plugin, "wrong")
    wait_until(lambda: not process.running(), 20, "the broker ends")
    assert process.popen.returncode != 0
    assert line in process.text()


def test_right_options_start(processes, tmp_path, build):
    process, _ = start_with(processes, tmp_path, build, options("/tmp/nobody.sock"), "right")
    wait_until(lambda: "is not reachable" in process.text(), 20, "it starts, and says that secenv is missing")
    assert process.running()


def test_reload_while_it_starts_ends_nothing(processes, tmp_path, build):
    """While the plugin waits for secenv the broker has no handlers yet."""
    process, port = start_with(processes, tmp_path, build, options("/tmp/nobody.sock"), "early")
    wait_until(lambda: "started" in process.text(), 20, "the plugin waits")
    for number in (signal.SIGURG, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        process.popen.send_signal(number)
    wait_until(lambda: accepts(port) or not process.running(), 10, "it listens")
    assert process.running()


def test_second_instance_is_refused(processes, tmp_path, build):
    lines = [f"plugin {build}/lib/mn_cse.so"] + [f"plugin_opt_{key} {value}"
                                                for key, value in options("/tmp/nobody.sock").items()]
    process, _ = start_with(processes, tmp_path, build, options("/tmp/nobody.sock"), "twice", lines)
    wait_until(lambda: not process.running(), 20, "the broker ends")
    assert "remove the second" in process.text()


@pytest.mark.skipif(not (2, 0, 11) <= VERSION < (2, 0, 15), reason="other brokers always send ticks")
def test_missing_ticks_are_told(processes, tmp_path, build):
    """Without a tick and without a client nothing of the plugin is called; it is said all the same."""
    process, port = start_with(processes, tmp_path, build, options("/tmp/nobody.sock"), "ticks",
                               ["per_listener_settings true"])
    line = "write `per_listener_settings false`"
    wait_until(lambda: line in process.text(), 20, "the watchdog says what to write")
    time.sleep(0.5)
    run(["mosquitto_pub", "-p", port, "-t", "x", "-m", "x"])
    wait_until(lambda: process.text().count(line) == 2, 20, "the broker's log says it too")


@pytest.mark.parametrize("each", ["false", pytest.param("true", marks=pytest.mark.skipif(
    VERSION < (2, 0, 15), reason="this broker sends none then"))])
def test_ticks_are_not_missed(processes, tmp_path, build, each):
    process, _ = start_with(processes, tmp_path, build, options("/tmp/nobody.sock"), "ticks",
                            [f"per_listener_settings {each}"])
    wait_until(lambda: "not told its groups" in process.text(), 10, "it starts")
    time.sleep(11)
    assert "no ticks" not in process.text()


# -- oneM2M -----------------------------------------------------------------------------------------------------


def test_registration(door):
    ae = {"op": 1, "ty": 2, "to": MN_CSE, "fr": "Sdoor1", "rqi": "r1", "rvi": "3",
          "pc": {"m2m:ae": {"api": "Ndoor", "rr": True, "srv": ["3"]}}}
    door.publish("/oneM2M/reg_req/Sdoor1/mn-1/json", json.dumps(ae))
    response = door.primitive("/oneM2M/reg_resp/Sdoor1/mn-1/json")
    assert (response["rsc"], response["rqi"]) == (2001, "r1")
    assert response["pc"]["m2m:ae"]["aei"] == "Sdoor1"
    door.publish("/oneM2M/reg_req/Sdoor1/mn-1/json", json.dumps(ae | {"rqi": "r2", "fr": "Sdoor2"}))
    assert door.primitive("/oneM2M/reg_resp/Sdoor1/mn-1/json")["rsc"] == 4106


def test_forwarding_both_ways(in_cse, door):
    door.request("q1", IN_CSE, DOOR, pc=seci(b"up"))
    forwarded = in_cse.primitive("/oneM2M/req/mn-1/in-cse/json")
    assert (forwarded["to"], forwarded["fr"], forwarded["pc"]) == (IN_CSE, DOOR, seci(b"up"))
    assert forwarded["rqi"].startswith("Sdoor1/")
    in_cse.publish("/oneM2M/resp/mn-1/in-cse/json",
                   json.dumps({"rsc": 2000, "rqi": forwarded["rqi"], "fr": IN_CSE, "pc": seci(b"back")}))
    response = door.primitive("/oneM2M/resp/Sdoor1/mn-1/json")
    assert (response["rsc"], response["rqi"], response["pc"]) == (2000, "q1", seci(b"back"))

    in_cse.request("q2", DOOR, IN_CSE, pc=seci(b"down"))
    forwarded = door.primitive("/oneM2M/req/mn-1/Sdoor1/json")
    assert (forwarded["to"], forwarded["fr"], forwarded["pc"]) == (DOOR, IN_CSE, seci(b"down"))
    door.publish("/oneM2M/resp/mn-1/Sdoor1/json", json.dumps({"rsc": 2000, "rqi": forwarded["rqi"], "fr": DOOR}))
    assert in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json")["rqi"] == "q2"


def test_client_id_of_another_pushes_nobody_off(connect):
    """`use_username_as_clientid true`: the broker goes by the name that is proven."""
    in_cse = connect("in-cse", client_id="C::in-cse")
    door = connect("Sdoor1", client_id="A::Sdoor1", clean=False)
    assert in_cse.subscribe("/oneM2M/req/+/in-cse/#") and door.subscribe("/oneM2M/req/+/Sdoor1/#")
    ends = []
    for one in (in_cse, door):
        one.client.on_disconnect = lambda *_arguments: ends.append(_arguments)
    for client_id in ("C::in-cse", "in-cse", "A::Sdoor1", "Sdoor1"):
        spy = connect("Sspy1", client_id=client_id)
        assert spy.subscribe("sensors/#")
        spy.stop()
    in_cse.request("q1", DOOR, IN_CSE, pc=seci(b"down"))
    assert door.primitive("/oneM2M/req/mn-1/Sdoor1/json")["rqi"].startswith("in-cse/")
    assert ends == []
    # The session of this name goes on under whatever client id.
    door.vanish()
    in_cse.request("q2", DOOR, IN_CSE, pc=seci(b"down"))
    again = connect("Sdoor1", client_id="A::Sdoor1", clean=False)
    assert again.primitive("/oneM2M/req/mn-1/Sdoor1/json")["pc"] == seci(b"down")


def test_taken_client_id_is_thrown_off(processes, tmp_path, credentials, build, secenv):
    """A broker that leaves client ids to the clients: the taker gets nothing, and its owner comes back."""
    made = Broker(processes, tmp_path / "broker", credentials, "mn-1", build, options(secenv.path))
    made.one_client = False
    made.start()
    ends = []
    clients = []

    def start(name):
        clients.append(Client(made, credentials, name, client_id="A::Sdoor1"))
        clients[-1].client.on_disconnect = lambda *_arguments: ends.append(name)
        clients[-1].client.reconnect_delay_set(60, 60)
        return clients[-1]

    try:
        start("Sdoor1")
        spy = start("Sspy1")
        wait_until(lambda: ends == ["Sdoor1"], 20, "the id is taken")
        assert not spy.subscribe("x")
        wait_until(lambda: ends == ["Sdoor1", "Sspy1"], 20, "its taker is thrown off")
        assert "Sspy1 has connected under the client id A::Sdoor1" in made.process.text()
        assert start("Sdoor1").subscribe("x")
        time.sleep(0.5)
        assert len(ends) == 2 and made.process.running()
    finally:
        for one in clients:
            one.stop()


def test_another_originator_is_refused(in_cse, door, connect):
    door.request("q1", IN_CSE, "//sp.example/Sdoor2", pc=seci(b"up"))
    assert door.primitive("/oneM2M/resp/Sdoor1/mn-1/json")["rsc"] == 4106
    connect("Sspy1").publish("/oneM2M/req/Sdoor1/mn-1/json",
                             json.dumps({"op": 5, "to": IN_CSE, "fr": DOOR, "rqi": "q2"}))
    assert in_cse.silent() and door.silent()


def test_retained_request_is_refused(in_cse, door):
    request = json.dumps({"op": 5, "to": IN_CSE, "fr": DOOR, "rqi": "q1"})
    door.publish("/oneM2M/req/Sdoor1/mn-1/json", request, True)
    assert in_cse.silent()
    door.publish("/oneM2M/req/Sdoor1/mn-1/json", request)
    assert in_cse.primitive("/oneM2M/req/mn-1/in-cse/json")["fr"] == DOOR


# -- the secure environment ---------------------------------------------------------------------------------------


def test_object_for_the_mn_cse(in_cse, secenv):
    in_cse.request("q1", MN_CSE, IN_CSE, pc=seci(b"object"))
    received = secenv.requested("received")
    assert (received.identity, getattr(received, "from"), received.object) == (MN_CSE, IN_CSE, b"object")
    response = in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json")
    assert (response["rsc"], response["rqi"], response["pc"]) == (2000, "q1", seci(b"answer"))


def test_answer_comes_at_once(in_cse):
    """Not with the broker's next tick, 100 ms later: requests that wait for the answer before would each take that
    long, whatever else the machine does; a busy machine makes some of them late, and not all of them for long."""
    def quick():
        times = []
        for number in range(20):
            start = time.monotonic()
            in_cse.request(f"q{number}", MN_CSE, IN_CSE, pc=seci(b"object"))
            in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json")
            times.append(time.monotonic() - start)
        return sorted(times)[7] < 0.06

    wait_until(quick, 60, "a third of the answers come before a tick can have brought them")


def test_object_from_the_mn_cse(in_cse, secenv):
    secenv.event(send=secenv.pb.Send(token=5, to=IN_CSE, object=b"object"))
    request = in_cse.primitive("/oneM2M/req/mn-1/in-cse/json")
    assert (request["op"], request["to"], request["fr"], request["pc"]) == (5, IN_CSE, MN_CSE, seci(b"object"))
    in_cse.publish("/oneM2M/resp/mn-1/in-cse/json",
                   json.dumps({"rsc": 2000, "rqi": request["rqi"], "pc": seci(b"answer")}))
    answered = secenv.requested("answered")
    assert (answered.token, answered.object, answered.failure) == (5, b"answer", "")


def test_secenv_goes_and_comes_back(in_cse, door, secenv, broker):
    secenv.stop()
    in_cse.request("q1", MN_CSE, IN_CSE, pc=seci(b"object"))
    assert in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json")["rsc"] == 5103
    # Broker and relay go on.
    door.request("q2", IN_CSE, DOOR, pc=seci(b"up"))
    in_cse.primitive("/oneM2M/req/mn-1/in-cse/json")
    secenv.start()
    assert secenv.connected.wait(10)
    in_cse.request("q3", MN_CSE, IN_CSE, pc=seci(b"object"))
    assert in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json")["rsc"] == 2000
    assert broker.process.running()


def test_deaf_secenv_stops_nobody(in_cse, door, secenv):
    """Others are served before the request that it does not answer is given up."""
    secenv.deaf = True
    in_cse.request("q1", MN_CSE, IN_CSE, pc=seci(b"object"))
    for number in range(5):
        door.request(f"d{number}", IN_CSE, DOOR, pc=seci(b"up"))
        in_cse.primitive("/oneM2M/req/mn-1/in-cse/json")
    assert in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json", 15)["rsc"] == 5103


def test_in_cse_that_comes_is_told_to_secenv(connect, secenv):
    time.sleep(1.1)
    while secenv.requests.qsize():
        secenv.requests.get()
    assert connect("in-cse").subscribe("/oneM2M/req/+/in-cse/#")
    assert secenv.requested("online").online


# -- group topics -------------------------------------------------------------------------------------------------


def member(secenv, client, stems=("Sdoor1", "Sdoor2")):
    """Puts the stems into "doors" and waits until the client may subscribe to its commands."""
    secenv.roster("doors", [f"//sp.example/{stem}" for stem in stems])
    wait_until(lambda: client.subscribe(f"{GROUP}/cmd"), 20, f"{client.name} may subscribe")


def test_members_only(door, connect, secenv):
    spy = connect("Sspy1")
    assert spy.subscribe("#")  # other topics are allowed here; ours are not read
    assert not door.subscribe(f"{GROUP}/cmd")  # no roster yet
    member(secenv, door)
    assert not spy.subscribe(f"{GROUP}/cmd") and not spy.subscribe("$share/x/groupseal/#")
    kinds = secenv.pb
    secenv.publish(kinds.TOPIC_COMMAND, b"command")
    assert door.next(f"{GROUP}/cmd").payload == b"command"
    secenv.publish(kinds.TOPIC_EPOCH, b"epoch", retained=True)
    secenv.publish(kinds.TOPIC_COMMAND, b"after it")
    assert door.next(f"{GROUP}/cmd").payload == b"after it"
    assert door.subscribe(f"{GROUP}/epoch")
    message = door.next(f"{GROUP}/epoch")
    assert (message.payload, message.retain) == (b"epoch", True)
    door.publish("sensors/1", "x")
    assert spy.next("sensors/1").payload == b"x"
    assert spy.silent()


def test_dropped_member_reads_no_more(door, connect, secenv):
    other = connect("Sdoor2")
    member(secenv, door)
    assert other.subscribe(f"{GROUP}/cmd")
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"one")
    assert door.next(f"{GROUP}/cmd").payload == b"one" and other.next(f"{GROUP}/cmd").payload == b"one"
    secenv.roster("doors", ["//sp.example/Sdoor2"])
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"two")
    assert other.next(f"{GROUP}/cmd").payload == b"two"
    assert door.silent()
    door.publish(f"{GROUP}/msg/Sdoor1", "x")
    assert other.silent()


def test_member_messages_and_acks(door, connect, secenv):
    other = connect("Sdoor2")
    member(secenv, door)
    assert other.subscribe(f"{GROUP}/msg/+") and not other.subscribe(f"{GROUP}/ack/+")
    door.publish(f"{GROUP}/msg/Sdoor1", "hot")
    assert other.next(f"{GROUP}/msg/Sdoor1").payload == b"hot"
    heard = secenv.requested("heard")
    assert (heard.sender, heard.kind, heard.payload) == (DOOR, secenv.pb.TOPIC_MESSAGE, b"hot")
    door.publish(f"{GROUP}/ack/Sdoor1", "done")
    assert secenv.requested("heard").kind == secenv.pb.TOPIC_ACK
    # Not in another's name, not retained, and nothing where the plugin writes.
    other.publish(f"{GROUP}/msg/Sdoor1", "false")
    door.publish(f"{GROUP}/msg/Sdoor1", "kept", True)
    door.publish(f"{GROUP}/cmd", "false")
    assert other.silent() and door.silent()
    assert secenv.requests.empty()


def test_wills_on_our_topics_are_not_sent(connect, secenv):
    other = connect("Sdoor2")
    member(secenv, other)
    assert other.subscribe(f"{GROUP}/msg/+") and other.subscribe("wills/+")
    connect("Sdoor1", will=f"{GROUP}/msg/Sdoor1").vanish()
    assert other.silent(1)
    connect("Sspy1", will="wills/1").vanish()  # the twin: it would have come
    assert other.next("wills/1").payload == b"will"


def test_bridge_proves_nobody(processes, tmp_path, credentials, build, secenv):
    """What another broker sends in over a bridge of this one passes no access check, and names whom it likes."""
    port = free_ports(1)[0]
    other = tmp_path / "other.conf"
    other.write_text(f"user root\nallow_anonymous true\nlistener {port} 127.0.0.1\n")
    processes.start("other", [MOSQUITTO, "-c", other])
    made = Broker(processes, tmp_path / "broker", credentials, "mn-1", build, options(secenv.path), foreign_lines=[
        "connection other", f"address 127.0.0.1:{port}", "topic # in 1", "local_username Sdoor1",
        "restart_timeout 1"])
    made.start()
    assert secenv.connected.wait(20)
    secenv.roster("doors", [DOOR, "//sp.example/Sdoor2"])
    in_cse = Client(made, credentials, "in-cse")
    door = Client(made, credentials, "Sdoor2")
    try:
        wait_until(lambda: door.subscribe(f"{GROUP}/msg/+"), 20, "the roster is taken")
        assert in_cse.subscribe("/oneM2M/req/+/in-cse/#") and in_cse.subscribe("sensors/#")

        def bridged():
            run(["mosquitto_pub", "-p", port, "-q", "1", "-t", "sensors/1", "-m", "x"])
            return in_cse.received.qsize()

        wait_until(bridged, 10, "the bridge passes other topics on", every=0.2)
        run(["mosquitto_pub", "-p", port, "-q", "1", "-t", "sensors/last", "-m", "x"])
        while in_cse.received.get(timeout=20).topic != "sensors/last":
            pass
        run(["mosquitto_pub", "-p", port, "-q", "1", "-t", "/oneM2M/req/Sdoor1/mn-1/json", "-m",
             json.dumps({"op": 5, "to": IN_CSE, "fr": DOOR, "rqi": "q1"})])
        run(["mosquitto_pub", "-p", port, "-q", "1", "-t", f"{GROUP}/msg/Sdoor1", "-m", "false"])
        run(["mosquitto_pub", "-p", port, "-q", "1", "-t", f"{GROUP}/cmd", "-m", "false"])
        assert in_cse.silent() and door.silent()
    finally:
        in_cse.stop()
        door.stop()


# -- the broker's own life ----------------------------------------------------------------------------------------


def test_reload_and_end(in_cse, broker, secenv):
    broker.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: "counters:" in broker.process.text(), 20, "it writes its counters")
    in_cse.request("q1", MN_CSE, IN_CSE, pc=seci(b"object"))
    assert in_cse.primitive("/oneM2M/resp/in-cse/mn-1/json")["rsc"] == 2000
    broker.process.popen.terminate()
    assert broker.process.popen.wait(20) == 0


def test_broker_that_comes_back_denies_nothing_of_before(processes, tmp_path, credentials, build, secenv):
    """Queued messages are judged when their reader comes: the roster has to be there first."""
    made = Broker(processes, tmp_path / "broker", credentials, "mn-1", build, options(secenv.path))
    made.start()
    secenv.roster("doors", [DOOR])
    door = Client(made, credentials, "Sdoor1", clean=False)
    wait_until(lambda: door.subscribe(f"{GROUP}/cmd"), 20, "the roster is taken")
    door.stop()
    time.sleep(0.3)
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"command")
    time.sleep(0.3)
    made.process.popen.terminate()
    assert made.process.popen.wait(20) == 0
    secenv.stop()
    secenv.groups = {"doors": [DOOR]}
    secenv.delay = 1  # it starts with the broker, or has much to tell
    secenv.start()
    made.start()
    door = Client(made, credentials, "Sdoor1", clean=False)
    try:
        assert door.next(f"{GROUP}/cmd").payload == b"command"
    finally:
        door.stop()


def test_registrations_and_groups_survive_a_restart(processes, tmp_path, credentials, build, secenv):
    """With plugin_opt_state_file; a file that is damaged costs the lines that are, and says so."""
    state = tmp_path / "groupseal.state"
    made = Broker(processes, tmp_path / "broker", credentials, "mn-1", build,
                  options(secenv.path) | {"state_file": state})
    made.start()
    door = Client(made, credentials, "Sdoor1")
    assert door.subscribe("/oneM2M/resp/Sdoor1/#")
    door.request("r1", "/mn-1", "Sdoor1", op=1, ty=2, pc={"m2m:ae": {"api": "Ndoor", "rr": True, "srv": ["3"]}})
    assert door.primitive("/oneM2M/resp/Sdoor1/mn-1/json")["rsc"] == 2001
    door.request("g1", "/mn-1", "Sdoor1", op=1, ty=9, pc={"m2m:grp": {"rn": "mine", "mnm": 5, "mid": ["Sdoor1"]}})
    assert door.primitive("/oneM2M/resp/Sdoor1/mn-1/json")["rsc"] == 2001
    for damage in ("", "half a li"):
        door.stop()
        made.process.popen.kill()
        made.process.popen.wait(20)
        state.write_text(state.read_text() + (f"{damage}ne\n{damage}" if damage else ""))
        made.start()
        door = Client(made, credentials, "Sdoor1")
        assert door.subscribe("/oneM2M/resp/Sdoor1/#")
        door.request("f1", "mn-1/mine/fopt", "Sdoor1", op=2)
        answer = door.primitive("/oneM2M/resp/Sdoor1/mn-1/json")
        assert answer["rsc"] == 2000
        (item,) = answer["pc"]["m2m:agr"]["m2m:rsp"]
        assert item["fr"] == "Sdoor1" and item["pc"]["m2m:ae"]["aei"] == "Sdoor1"
        assert ("say nothing" in made.process.text()) == bool(damage)
    door.stop()
    assert state.stat().st_mode & 0o777 == 0o600 and "half" not in state.read_text()


def test_psk_client(broker, credentials, in_cse):
    """The identity of a pre-shared key is a name as good as a certificate's."""
    key = credentials.file("Spsk1", "hop.psk").read_text().strip()
    request = json.dumps({"op": 5, "to": IN_CSE, "fr": "//sp.example/Spsk1", "rqi": "q1"})
    for originator in ("Sdoor1", "Spsk1"):
        run(["mosquitto_pub", "-h", "127.0.0.1", "-p", broker.psk_port, "--psk", key, "--psk-identity", "Spsk1",
             "-q", "1", "-t", f"/oneM2M/req/{originator}/mn-1/json", "-m", request])
    assert in_cse.primitive("/oneM2M/req/mn-1/in-cse/json")["fr"] == "//sp.example/Spsk1"
    assert in_cse.silent()


@pytest.mark.parametrize("header", ["secenv/audit.h", "plugin/agent/agent.h"])
def test_every_counter_is_explained(header):
    text = (REPOSITORY / header).read_text()
    names = re.findall(r'^ +X\([A-Z_]+, "([a-z_]+)"\)', text, re.MULTILINE)
    manual = (REPOSITORY / "docs" / "operations.md").read_text()
    assert len(names) > 15 and [name for name in names if f"| `{name}` |" not in manual] == []
