# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of mn_cse.so in Debian's Mosquitto that change while it runs: the file, SIGHUP, observe and enforce."""

import signal

import pytest
from fake_secenv import FakeSecenv
from harness.broker import Broker
from harness.processes import wait_until
from test_plugin_broker import Client, credentials, options, sockets  # noqa: F401

GROUP = "groupseal/v1/mn-1/doors"


@pytest.fixture
def secenv(tmp_path, sockets):  # noqa: F811
    fake = FakeSecenv(tmp_path, sockets / "owner")
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "groupseal.settings"
    file.write_text("mode observe\nforeign allow\n")
    return file


@pytest.fixture
def broker(processes, tmp_path, credentials, build, secenv, settings):  # noqa: F811
    plugin = {name: value for name, value in options(secenv.path).items() if name != "foreign"}
    made = Broker(processes, tmp_path / "broker", credentials, "mn-1", build, plugin | {"settings": settings})
    made.start()
    assert secenv.connected.wait(60)
    return made


@pytest.fixture
def connect(broker, credentials):  # noqa: F811
    clients = []

    def start(name):
        clients.append(Client(broker, credentials, name))
        return clients[-1]

    yield start
    for client in clients:
        client.stop()


def reload(broker, line):
    """SIGHUP; waits until the log has one more of this line."""
    before = broker.process.text().count(line)
    broker.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: broker.process.text().count(line) > before, 10, line)


def test_observe_then_enforce(broker, connect, secenv, settings):
    """Observing, a stranger reads a group and the log says that enforce would not let it; then it does not."""
    assert "it refuses nothing, and protects nothing" in broker.process.text()
    spy = connect("Sspy1")
    assert spy.subscribe(f"{GROUP}/cmd")
    wait_until(lambda: f"with `mode enforce` Sspy1 may not subscribe to {GROUP}/cmd" in broker.process.text(), 5,
               "it is told")
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"one")
    assert spy.next(f"{GROUP}/cmd").payload == b"one"
    spy.publish("/oneM2M/req/Sdoor1/mn-1/json", "{}")
    settings.write_text("mode enforce\nforeign allow\n")
    reload(broker, "the settings are read again")
    assert not spy.subscribe(f"{GROUP}/epoch")
    secenv.publish(secenv.pb.TOPIC_COMMAND, b"two")
    assert spy.subscribe("sensors/1")
    spy.publish("sensors/1", "x")
    assert spy.next("sensors/1").payload == b"x"  # and not the command


def test_bad_file_keeps_the_settings(broker, connect, settings):
    spy = connect("Sspy1")
    for text in ("mode maybe\nforeign allow\n", "foreign allow\nidentity //sp.example/x\n", "mode enforce\n"):
        settings.write_text(text)
        reload(broker, "the settings stay as they were")
        assert spy.subscribe(f"{GROUP}/cmd")
    assert "groupseal.settings line 1: mode maybe is not known" in broker.process.text()
    settings.unlink()
    reload(broker, "cannot be read")
    assert spy.subscribe(f"{GROUP}/cmd")
    settings.write_text("mode enforce\nforeign allow\n")
    reload(broker, "the settings are read again")
    assert not spy.subscribe(f"{GROUP}/cmd")
