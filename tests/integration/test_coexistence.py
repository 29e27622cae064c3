# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""mn_cse.so beside what a broker in use has already: access files and plugins, listeners and clients of every kind. In
each case a device speaks for itself and for nobody else, and other topics are for who had them before."""

import json
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from fake_secenv import FakeSecenv
from harness.coexistence import Client, Existing
from harness.pki import Pki
from harness.processes import run, wait_until
from test_plugin_broker import DOOR, GROUP, IN_CSE, options

USERS = ("in-cse", "Sdoor1", "Sspy1", "panel", "meter")
RULES = "user panel\ntopic readwrite sensors/#\nuser meter\ntopic write sensors/meter\n"


@pytest.fixture
def secenv(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="groupseal-"))
    fake = FakeSecenv(tmp_path, folder / "owner")
    fake.start()
    yield fake
    fake.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    pki = Pki(tmp_path_factory.mktemp("existing") / "pki")
    pki.make("in-cse")
    pki.make("broker", "mn-1", "--address", "localhost", "--address", "127.0.0.1")
    for stem in ("Sdoor1", "Sspy1"):
        pki.make("device", stem)
    pki.make("psk", "Spsk1", "hop")
    return pki


@pytest.fixture
def existing(processes, tmp_path, pki, build):
    return Existing(processes, tmp_path / "broker", pki, build)


@pytest.fixture
def connect(existing):
    clients = []

    def start(name, **more):
        clients.append(Client(existing, name, **more))
        return clients[-1]

    yield start
    for client in clients:
        client.stop()


def choices(secenv, foreign):
    return options(secenv.path) | {"foreign": foreign}


def request(originator, number):
    return json.dumps({"op": 5, "to": IN_CSE, "fr": f"//sp.example/{originator}", "rqi": number})


def arrives(in_cse, originator):
    """The next request that reaches the IN-CSE is this originator's."""
    assert json.loads(in_cse.next("/oneM2M/req/mn-1/in-cse/json").payload)["fr"] == f"//sp.example/{originator}"


def only_itself(connect, in_cse_kind="password", kind="password", **more):
    """A device is heard in its own name, and a spy of the same kind in the device's is not."""
    in_cse = connect("in-cse", kind=in_cse_kind)
    assert in_cse.subscribe("/oneM2M/req/+/in-cse/#")
    spy = connect("Sspy1", kind=kind, **more)
    spy.publish("/oneM2M/req/Sdoor1/mn-1/json", request("Sdoor1", "q0"))
    connect("Sdoor1", kind=kind, **more).publish("/oneM2M/req/Sdoor1/mn-1/json", request("Sdoor1", "q1"))
    arrives(in_cse, "Sdoor1")
    assert in_cse.silent()
    return in_cse


# -- access files and plugins -------------------------------------------------------------------------------------


def test_acl_file(existing, connect, secenv):
    """`foreign defer`: the acl_file decides on all that is none of ours, and need not mention ours."""
    existing.plugins = [existing.ours(choices(secenv, "defer"))]
    existing.access = existing.passwords(*USERS) + existing.rules(RULES)
    existing.start()
    only_itself(connect)
    panel, meter = connect("panel"), connect("meter")
    assert panel.subscribe("sensors/#")
    meter.publish("sensors/other", "denied")
    meter.publish("sensors/meter", "20")
    assert panel.next("sensors/meter").payload == b"20"
    assert panel.silent()


def test_password_file_and_foreign_allow(existing, connect, secenv):
    """A broker where every user may use every topic stays one."""
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    only_itself(connect)
    panel = connect("panel")
    assert panel.subscribe("#")
    connect("meter").publish("anything/at/all", "20")
    assert panel.next("anything/at/all").payload == b"20"


def test_foreign_defer_and_nobody_else(existing, connect, secenv):
    """As docs/operations.md says: every other topic is denied, and ours work."""
    existing.plugins = [existing.ours(choices(secenv, "defer"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    only_itself(connect)
    panel = connect("panel")
    assert not panel.subscribe("sensors/#")


def test_anonymous(existing, connect, secenv):
    """Who has no name is nobody's AE; the rest of the broker is as open to it as before."""
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)[:1] + ["allow_anonymous true"]
    existing.start()
    in_cse = only_itself(connect)
    nobody = connect("nobody", anonymous=True)
    nobody.publish("/oneM2M/req/Sdoor1/mn-1/json", request("Sdoor1", "q2"))
    assert not nobody.subscribe("/oneM2M/req/+/Sdoor1/#") and not nobody.subscribe(f"{GROUP}/cmd")
    assert nobody.subscribe("sensors/#")
    connect("meter").publish("sensors/meter", "20")
    assert nobody.next("sensors/meter").payload == b"20"
    assert in_cse.silent()


def dynsec_users(existing, everything):
    """The users; `everything`: the role of the devices lets them use all topics, else only the panel's may."""
    commands = [{"command": "createRole", "rolename": "sensors", "acls": [
        {"acltype": kind, "topic": "sensors/#", "allow": True}
        for kind in ("publishClientSend", "publishClientReceive", "subscribePattern")]},
        {"command": "createRole", "rolename": "all", "acls": [
            {"acltype": kind, "topic": "#", "allow": True}
            for kind in ("publishClientSend", "publishClientReceive", "subscribePattern")]}]
    for user in USERS:
        role = "sensors" if user in ("panel", "meter") else "all" if everything else None
        commands.append({"command": "createClient", "username": user, "password": "correct horse",
                         "roles": [{"rolename": role}] if role else []})
    existing.administer(*commands)


def test_dynamic_security_after_ours(existing, connect, secenv):
    """The order that the manual asks for: ours decides on our topics, Dynamic Security on all others."""
    existing.plugins = [existing.ours(choices(secenv, "defer")), existing.dynsec()]
    existing.access = ["allow_anonymous false"]
    existing.start()
    dynsec_users(existing, everything=False)
    only_itself(connect)
    secenv.roster("doors", [DOOR])
    panel = connect("panel")
    assert panel.subscribe("sensors/#") and not panel.subscribe("other/#") and not panel.subscribe(f"{GROUP}/cmd")
    connect("meter").publish("sensors/meter", "20")
    assert panel.next("sensors/meter").payload == b"20"
    # And its own topic stays its own: `foreign` gives nobody $CONTROL.
    spy = connect("Sspy1")
    assert not spy.subscribe("$CONTROL/dynamic-security/v1/response")


def test_dynamic_security_before_ours(existing, connect, secenv):
    """It answers first and always, so ours is not asked for access; who speaks for another is dropped all the same."""
    existing.plugins = [existing.dynsec(), existing.ours(choices(secenv, "defer"))]
    existing.access = ["allow_anonymous false"]
    existing.start()
    dynsec_users(existing, everything=True)
    only_itself(connect)
    secenv.roster("doors", [DOOR])
    door, spy = connect("Sdoor1", client_id="Sdoor1"), connect("Sspy1", client_id="Sspy1")
    assert door.subscribe(f"{GROUP}/#")
    spy.publish(f"{GROUP}/msg/Sdoor1", "false")
    spy.publish(f"{GROUP}/cmd", "false")
    door.publish(f"{GROUP}/msg/Sdoor1", "hot")
    assert door.next(f"{GROUP}/msg/Sdoor1").payload == b"hot"
    assert door.silent()


# -- listeners ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("kind", ["password", "certificate"])
def test_per_listener_settings(existing, connect, secenv, each, kind):
    existing.each_listener = each
    existing.kinds = [kind]
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS) if kind == "password" else ["allow_anonymous false"]
    existing.start()
    only_itself(connect, kind, kind)
    spy = connect("Sspy1", kind=kind)
    assert spy.subscribe("sensors/#") and not spy.subscribe(f"{GROUP}/cmd")


@pytest.mark.parametrize("kind", ["password", "tls", "certificate", "websockets"])
def test_listeners(existing, connect, secenv, kind):
    """All listeners in one broker, the plugin on all of them."""
    existing.kinds = ["password", "tls", "certificate", "psk", "unix", "websockets"]
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    only_itself(connect, kind=kind)


def test_listeners_of_the_command_line(existing, connect, secenv):
    """Pre-shared keys, and the UNIX socket."""
    existing.kinds = ["password", "psk", "unix"]
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    in_cse = connect("in-cse")
    assert in_cse.subscribe("/oneM2M/req/+/in-cse/#")
    key = existing.pki.file("Spsk1", "hop.psk").read_text().strip()
    psk = ["-h", "127.0.0.1", "-p", existing.ports["psk"], "--psk", key, "--psk-identity", "Spsk1"]
    for where, name in ((psk, "Spsk1"), (["--unix", existing.socket(), "-u", "Sspy1", "-P", "correct horse"], "Sspy1")):
        for stem in ("Sdoor1", name):
            run(["mosquitto_pub", *where, "-q", "1", "-i", f"{name}-{stem}", "-t", f"/oneM2M/req/{stem}/mn-1/json", "-m",
                 request(stem, f"q{stem}")])
        arrives(in_cse, name)
    assert in_cse.silent()


# -- clients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5])
def test_protocol_versions(existing, connect, secenv, version):
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    only_itself(connect, version=version)
    spy = connect("Sspy1", version=version)
    refused = not spy.subscribe(f"{GROUP}/cmd")
    assert refused or version == mqtt.MQTTv31
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"command")
    assert spy.silent()
    assert spy.subscribe("sensors/#")
    spy.publish("sensors/1", "20")
    assert spy.next("sensors/1").payload == b"20"


def test_take_over_and_persistent_session(existing, connect, secenv):
    """Who connects again takes its session over, and finds what came meanwhile."""
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    secenv.roster("doors", [DOOR])
    first = connect("Sdoor1", clean=False)
    wait_until(lambda: first.subscribe(f"{GROUP}/cmd"), 10, "the roster is taken")
    first.client.reconnect_delay_set(60, 60)
    second = connect("Sdoor1", clean=False)
    wait_until(lambda: first.ends, 10, "the first is pushed off")
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"one")
    assert second.next(f"{GROUP}/cmd").payload == b"one"
    assert first.silent()
    second.stop()
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"two")
    time.sleep(0.3)
    assert connect("Sdoor1", clean=False).next(f"{GROUP}/cmd").payload == b"two"


def test_shared_subscriptions(existing, connect, secenv):
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    secenv.roster("doors", [DOOR])
    panels = [connect("panel", client_id=f"panel{number}") for number in range(2)]
    for panel in panels:
        assert panel.subscribe("$share/panels/sensors/#") and not panel.subscribe(f"$share/panels/{GROUP}/cmd")
    meter = connect("meter")
    for number in range(10):
        meter.publish("sensors/meter", str(number))
    wait_until(lambda: sum(panel.received.qsize() for panel in panels) == 10, 10, "each message comes once")
    assert all(panel.received.qsize() > 0 for panel in panels)


def test_reload_under_load(existing, connect, secenv):
    """SIGHUP again and again while all talk: nobody is dropped, and nothing is lost."""
    existing.kinds = ["password", "certificate"]
    existing.plugins = [existing.ours(choices(secenv, "allow"))]
    existing.access = existing.passwords(*USERS)
    existing.start()
    secenv.roster("doors", [DOOR])
    door = connect("Sdoor1", kind="certificate")
    wait_until(lambda: door.subscribe(f"{GROUP}/cmd"), 10, "the roster is taken")
    panel, meter, spy = connect("panel"), connect("meter"), connect("Sspy1", kind="certificate")
    assert panel.subscribe("sensors/#")
    ending = threading.Event()
    sent = {"meter": 0, "Sspy1": 0}

    def talk(client):
        while not ending.is_set():
            client.publish(f"sensors/{client.name}", str(sent[client.name]))
            sent[client.name] += 1

    threads = [threading.Thread(target=talk, args=(client,)) for client in (meter, spy)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(sent.values()) > 10, 20, "both talk")
        for number in range(20):
            existing.process.popen.send_signal(signal.SIGHUP)
            secenv.publish(secenv.pb.TOPIC_COMMAND, str(number).encode())
            time.sleep(0.1)
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    assert [door.next(f"{GROUP}/cmd").payload for _ in range(20)] == [str(number).encode() for number in range(20)]
    wait_until(lambda: panel.received.qsize() == sum(sent.values()), 20, "the panel has all")
    assert [client.ends for client in (door, panel, meter, spy)] == [[], [], [], []]
    assert existing.process.text().count("counters:") > 1


# -- removal ------------------------------------------------------------------------------------------------------


def test_clean_removal(existing, connect, secenv):
    """As docs/operations.md says. Afterwards the broker is as it was before the plugin came, the file system too."""
    existing.persistent = True
    existing.access = existing.passwords(*USERS, "owner")
    existing.start()
    connect("meter").publish("sensors/meter", "20", True)
    existing.stop()

    state = existing.folder / "groupseal.state"
    existing.plugins = [existing.ours(choices(secenv, "allow") | {"state_file": state})]
    existing.start()
    secenv.roster("doors", [DOOR])
    secenv.publish(secenv.pb.TOPIC_EPOCH, b"epoch", retained=True)
    secenv.publish(secenv.pb.TOPIC_POLICY, b"policy", retained=True)
    door = connect("Sdoor1", client_id="A::Sdoor1")
    wait_until(lambda: door.subscribe(f"{GROUP}/epoch") and door.subscribe(f"{GROUP}/policy"), 10, "the roster is taken")
    assert {door.received.get(timeout=60).payload for _ in range(2)} == {b"epoch", b"policy"}
    door.stop()
    existing.stop()

    existing.plugins = []
    for suffix in ("", ".old", ".new"):
        state.with_name(state.name + suffix).unlink(missing_ok=True)
    existing.start()
    who = ["-p", existing.ports["password"], "-u", "owner", "-P", "correct horse"]
    removed = set()

    def remove():
        ended = run(["mosquitto_sub", *who, "-t", "groupseal/#", "--remove-retained", "--retained-only", "-W", "3"],
                    check=False)
        assert ended.returncode in (0, 27)  # 27: its time is over, as it should be
        removed.update(ended.stdout.split())
        return removed == {"epoch", "policy"}
    wait_until(remove, 20, "both are removed")
    existing.stop()

    existing.start()
    owner = connect("owner")
    assert owner.subscribe("#")
    assert owner.next("sensors/meter").payload == b"20"
    assert owner.silent()
    assert "mn_cse" not in existing.process.text()
    left = {path.name for path in existing.folder.iterdir()}
    assert left == {"passwords", "mosquitto.conf", "mosquitto.db"}
