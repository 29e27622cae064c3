# SPDX-License-Identifier: GPL-3.0-or-later
"""
Clients of a real broker with valid hop credentials, who want what is another group's, or to say what is the plugin's
or another's; and a broker that is given its retained state of yesterday.
"""

import queue
import shutil
import ssl
import time

import paho.mqtt.client as mqtt
import pytest

from harness.processes import wait_until
from harness.site import Device
from harness.tap import GIVEN, Tap

DOORS = "groupseal/v1/mn-1/doors"
GROUPS = {"doors": "door", "sensors": "sensor"}


class Client:
    """With the hop certificate of a device: its own connection, or that device's."""

    def __init__(self, site, stem, will=None):
        self.received = queue.Queue()
        self.granted = queue.Queue()
        self.client = mqtt.Client(client_id=f"attack-{stem}", protocol=mqtt.MQTTv311)
        self.client.tls_set(ca_certs=str(site.pki.hop_ca), certfile=str(site.pki.file(stem, "hop.pem")),
                            keyfile=str(site.pki.file(stem, "hop.key")), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.on_message = lambda _client, _data, message: self.received.put(message)
        self.client.on_subscribe = lambda _client, _data, _mid, granted: self.granted.put(granted)
        if will:
            self.client.will_set(will, b"\x08\x01will", 1, True)
        self.client.connect("localhost", site.broker.certificate_port)
        self.client.loop_start()
        wait_until(self.client.is_connected, 5, f"{stem} connects")

    def subscribe(self, topic):
        self.client.subscribe(topic, 1)
        return self.granted.get(timeout=60)[0] != 128

    def publish(self, topic, payload, retain=False):
        self.client.publish(topic, payload, 1, retain).wait_for_publish(60)

    def topics(self):
        return {self.received.get().topic for _ in range(self.received.qsize())}

    def vanish(self):
        self.client.socket().shutdown(2)
        self.client.loop_stop()

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def site(make_site):
    site = make_site([Device("Sdoor1", "door"), Device("Ssensor1", "sensor"), Device("Ssensor2", "sensor")], tap=True)
    site.pki.make("device", "Sspy1")
    site.start_all(GROUPS)
    return site


def state(site):
    """What none of it may change: the groups, and what devices and MN-CSE have refused or run."""
    counters = ("commands_opened", "commands_refused", "commands_dropped", "announcements_refused", "messages_opened",
                "messages_refused", "receipts_taken", "receipts_refused")
    return ({name: {one: {key: group[key] for key in ("epoch", "incarnation")}
                    for one, group in site.groups_of(name).items()} for name in ("mn", "Sdoor1", "authority")},
            {name: [site.counter(name, one) for one in counters] for name in ("mn", "Sdoor1")})


def test_reading_another_group(site):
    """Through exact filters, wildcards, shared subscriptions and $CONTROL, by a member of another group and by one of
    none. Then the twin: a member's own."""
    site.running["Ssensor1"].stop()
    for stem in ("Ssensor1", "Sspy1"):
        spy = Client(site, stem)
        for topic in (f"{DOORS}/cmd", f"{DOORS}/epoch", f"{DOORS}/policy", f"{DOORS}/msg/+", f"{DOORS}/ack/+",
                      f"{DOORS}/ack/Sdoor1", f"{DOORS}/#", f"{DOORS}/+", "groupseal/v1/mn-1/+/cmd",
                      "groupseal/+/+/+/cmd", "groupseal/#", f"$share/x/{DOORS}/cmd", "$share/x/groupseal/#",
                      "/oneM2M/#", "/oneM2M/req/+/Sdoor1/#", "/oneM2M/resp/#"):
            assert not spy.subscribe(topic), topic
        for topic in ("#", "+/#", "+/+/+/+/cmd", "+/v1/mn-1/doors/#", "$share/x/#", "$SYS/#", "$CONTROL/#"):
            spy.subscribe(topic)  # granted or not: of ours nothing is given
        site.send("doors", f"close {stem}")
        time.sleep(1)
        mine = "groupseal/v1/mn-1/sensors/" if stem == "Ssensor1" else "nothing"
        assert not {topic for topic in spy.topics()
                    if topic.startswith(("groupseal/", "/oneM2M/", "$CONTROL")) and not topic.startswith(mine)}
        spy.stop()
    own = Client(site, "Ssensor1")
    assert own.subscribe("groupseal/v1/mn-1/sensors/cmd")
    site.send("sensors", "report", "--wait", "1s", check=False)
    wait_until(lambda: "groupseal/v1/mn-1/sensors/cmd" in own.topics(), 5, "a member's own command is given")
    own.stop()


def commands(site):
    return [record.payload for record in Tap(site.tap).read()
            if record.access == GIVEN and record.topic == f"{DOORS}/cmd"]


def test_speaking_as_the_plugin_or_as_another(site):
    """With recorded payloads, as live, retained and last will; nothing reaches a device or the MN-CSE's secenv."""
    assert site.send("doors", "close") == {"Sdoor1": "done"}
    recorded = commands(site)
    assert recorded
    site.running["Ssensor2"].stop()  # else it and the liar would push each other off
    before = state(site)
    for stem in ("Ssensor2", "Sspy1"):
        liar = Client(site, stem)
        for topic in ("cmd", "epoch", "policy", "tree/0/0", "msg/Sdoor1", "ack/Sdoor1", f"msg/{stem}", f"ack/{stem}"):
            for retain in (False, True):
                liar.publish(f"{DOORS}/{topic}", recorded[-1], retain)
        liar.publish("$CONTROL/groupseal", b"x")
        liar.publish("$CONTROL/groupseal/v1", b"x")
        liar.stop()
        for topic in ("cmd", "epoch", "msg/Sdoor1", "ack/Sdoor1"):
            Client(site, stem, will=f"{DOORS}/{topic}").vanish()
    time.sleep(1)
    assert state(site) == before
    # Nothing was kept: a device that starts anew finds what it should.
    site.running["Sdoor1"].stop()
    site.start_device("Sdoor1")
    site.wait_ready("Sdoor1")
    assert site.counter("Sdoor1", "announcements_refused") == 0 and site.counter("Sdoor1", "commands_refused") == 0
    # The twin: the plugin's command, and a member's message on its own topic.
    assert site.send("doors", "open") == {"Sdoor1": "done"}
    site.start_device("Ssensor2")
    site.wait_ready("Ssensor2")
    site.say_until_heard("Ssensor2", "sensors", "hot", ["Ssensor1"])


def test_retained_state_of_yesterday(site):
    """The broker's database is put back to what it was before an eviction, and nobody corrects it: devices do not go
    back. With the MN-CSE's secure environment all of it is published again."""
    site.broker.process.stop()
    old = site.folder / "old.db"
    shutil.copy(site.broker.folder / "data" / "mosquitto.db", old)
    site.start_broker()
    site.wait_ready()
    epoch = site.newest_epoch("sensors")
    site.operator("member", "evict", "Ssensor2")
    assert site.wait_climbed("sensors", "Ssensor1") == epoch + 1
    site.broker.process.stop()
    site.running["secenv-mn"].stop()
    shutil.copy(old, site.broker.folder / "data" / "mosquitto.db")
    syncs = site.counter("Ssensor1", "syncs_sent")
    site.start_broker()
    wait_until(lambda: site.counter("Ssensor1", "syncs_sent") > syncs, 30, "Ssensor1 is connected again")
    time.sleep(2)
    assert site.groups_of("Ssensor1")["sensors"]["epoch"] == epoch + 1
    assert site.send("sensors", "report", "--wait", "3s", check=False) in ({}, {"Ssensor1": "no answer"})
    # The twin: what it must get, it gets.
    site.start_secenv("mn")
    site.wait_ready("Ssensor1")
    wait_until(lambda: site.send("sensors", "again", check=False) == {"Ssensor1": "done"}, 30, "a command is run")
    assert site.groups_of("Ssensor1")["sensors"]["epoch"] == epoch + 1
