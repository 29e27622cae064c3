# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""What is renewed and what ends, with real processes: CRLs over the association, rotated and deleted groups, members
that join again."""

import json
import queue

import paho.mqtt.client as mqtt

from harness.broker import MOSQUITTO, accepts
from harness.processes import free_ports, wait_until
from harness.site import Device

GROUPS = {"doors": "door"}


def devices():
    return [Device("Sdoor1", "door", "cert"), Device("Sdoor2", "door", "cert"), Device("Sdoor3", "door", "psk")]


def shown(site):
    return json.loads(site.operator("group", "show", "doors").stdout)


def member(site, stem):
    rows = {row["name"]: row for row in json.loads(site.operator("member", "list").stdout)}
    return rows[f"//sp.example/{stem}"]


def serial(site, stem):
    return {row["name"]: row["serial"] for row in shown(site)["roster"]}[f"//sp.example/{stem}"]


def retained(site):
    """The topics below groupseal/ that the site's broker keeps: it ends, and another one reads its database, without
    plugin and rules."""
    site.running["broker"].stop()
    (port,) = free_ports(1)
    configuration = site.folder / "reader.conf"
    configuration.write_text("\n".join([
        "user root", "persistence true", f"persistence_location {site.broker.folder}/data/",
        f"listener {port} 127.0.0.1", "allow_anonymous true", ""]))
    reader = site.start("reader", [MOSQUITTO, "-c", configuration])
    wait_until(lambda: accepts(port), 10, "the reader listens")
    messages = queue.Queue()
    client = mqtt.Client(client_id="reader", protocol=mqtt.MQTTv311)
    client.on_message = lambda _client, _data, message: messages.put(message)
    # Behind what is retained there comes what is said: so it is known when all has come.
    client.on_subscribe = lambda _client, _data, _mid, _granted: client.publish("groupseal/end", b"", 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("groupseal/#", 1)
    topics = []
    while not topics or topics[-1] != "groupseal/end":
        topics.append(messages.get(timeout=60).topic)
    client.disconnect()
    client.loop_stop()
    reader.stop()
    return set(topics[:-1])


def test_rotated_deleted_and_made_again(make_site):
    site = make_site(devices())
    site.start_all(GROUPS)
    before = shown(site)
    assert json.loads(site.operator("group", "rotate", "doors").stdout) == {"name": "doors", "state": "rotated"}
    for stem in site.devices:
        wait_until(lambda stem=stem: site.groups_of(stem)["doors"]["epoch"] == before["epoch"] + 1, 20,
                   f"{stem} has the next epoch")
    assert set(site.send("doors", "close").values()) == {"done"}

    # Sdoor3 is away when the group ends: it is told when it is back.
    site.running["Sdoor3"].stop()
    site.operator("group", "delete", "doors")
    for stem in ("Sdoor1", "Sdoor2", "mn"):
        wait_until(lambda stem=stem: site.in_no_group(stem), 20, f"{stem} is in no group")
    assert site.operator("group", "show", "doors", check=False).returncode == 1
    assert site.operator("send", "doors", "open", check=False).returncode == 1
    assert retained(site) == set()
    site.start_broker()
    site.start_device("Sdoor3")
    wait_until(lambda: site.in_no_group("Sdoor3"), 60, "Sdoor3 is in no group")

    # The name again is another group.
    site.create_groups(GROUPS)
    site.wait_ready(seconds=90)
    again = shown(site)
    assert again["instance"] != before["instance"] and again["incarnation"] > before["incarnation"]
    assert site.send("doors", "close again") == {"Sdoor1": "done", "Sdoor2": "done", "Sdoor3": "done"}
    assert [site.done(stem, "open") for stem in site.devices] == [0, 0, 0]
    # The twin: of a group that is there the broker keeps something.
    assert {"groupseal/v1/mn-1/doors/epoch", "groupseal/v1/mn-1/doors/policy"} <= retained(site)


def test_revoked_evicted_and_back(make_site):
    site = make_site(devices())
    site.start_all(GROUPS)
    crl = site.pki.folder / "e2e" / "crl.pem"
    old = site.folder / "old.pem"
    old.write_bytes(crl.read_bytes())
    first = {stem: serial(site, stem) for stem in site.devices}

    # A list that names nobody goes to all that have certificates, and ends nothing.
    site.pki.make("crl")
    assert json.loads(site.operator("revocation", "set", crl).stdout)["revoked"] == []
    wait_until(lambda: site.revocations()["members_taken"] == 3, 60, "mn-1, Sdoor1 and Sdoor2 have the new list")
    refused = site.operator("revocation", "set", old, check=False)
    assert refused.returncode == 1 and "number is not higher" in refused.stderr
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done", "Sdoor3": "done"}

    # One that names Sdoor2 ends its association, without a word of the operator's on it.
    site.pki.make("revoke", "Sdoor2")
    answer = json.loads(site.operator("revocation", "set", crl).stdout)
    assert answer["revoked"] == ["//sp.example/Sdoor2"] and answer["lists"][0]["entries"] == 1
    assert member(site, "Sdoor2")["state"] == "revoked"
    wait_until(lambda: site.in_no_group("Sdoor2"), 20, "Sdoor2 is in no group")
    assert site.send("doors", "open") == {"Sdoor1": "done", "Sdoor3": "done"}
    assert site.done("Sdoor2", "open") == 0
    wait_until(lambda: site.revocations()["members_taken"] == 2, 60, "mn-1 and Sdoor1 have the new list")
    # It tries again by itself, half a minute after its last authentication at the earliest.
    wait_until(lambda: site.counter("authority", "refused_chain") > 0, 90, "Sdoor2 is refused")
    assert "certificate of //sp.example/Sdoor2 is revoked" in site.running["secenv-authority"].text()
    site.running["Sdoor2"].stop()

    # With another certificate it is a member again; Sdoor3 is evicted, and added again.
    site.pki.make("device", "Sdoor2")
    site.provision("Sdoor2", "adn-ae", site.devices["Sdoor2"].identity, "Sdoor2", "cert", "--replace")
    site.start_device("Sdoor2")
    site.operator("member", "evict", "Sdoor3", "--reason", "stolen")
    wait_until(lambda: site.in_no_group("Sdoor3"), 20, "Sdoor3 is in no group")
    site.add_members("Sdoor3")
    site.running["Sdoor3"].stop()
    site.start_device("Sdoor3")
    site.wait_ready(seconds=90)
    assert site.send("doors", "close again") == {"Sdoor1": "done", "Sdoor2": "done", "Sdoor3": "done"}
    assert serial(site, "Sdoor1") == first["Sdoor1"]
    assert serial(site, "Sdoor2") > first["Sdoor2"] and serial(site, "Sdoor3") > first["Sdoor3"]


def test_leaves_are_refreshed(make_site):
    """At an age of a minute: in rounds, one change each, while commands go on."""
    site = make_site(devices())
    site.start_all(GROUPS)
    before = {row["name"]: row["leaf_made"] for row in shown(site)["roster"]}
    done = site.counter("authority", "handshakes_done")
    site.operator("settings", "--leaf-age", "1m")

    def refreshed():
        rows = {row["name"]: row["leaf_made"] for row in shown(site)["roster"]}
        return all(rows[name] > made for name, made in before.items())
    wait_until(refreshed, 120, "every leaf is another one", every=1)
    site.operator("settings", "--leaf-age", "off")
    assert site.counter("authority", "handshakes_done") >= done + 4
    assert member(site, "Sdoor1")["oldest_leaf"] > before["//sp.example/Sdoor1"]
    epoch = site.groups_of("authority")["doors"]["epoch"]
    wait_until(lambda: site.groups_of("Sdoor1")["doors"]["epoch"] >= epoch, 20, "Sdoor1 has the newest epoch")
    assert site.send("doors", "close") == {"Sdoor1": "done", "Sdoor2": "done", "Sdoor3": "done"}
