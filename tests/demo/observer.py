# SPDX-License-Identifier: GPL-3.0-or-later
"""
The observer of ./demo: a program of its own that believes no actor's word.

It sees the broker's traffic in three ways:
  * on the wire: all clients connect through its relays, which pass bytes on and keep a copy;
  * as clients with valid TLS credentials, subscribed to all they may reach: one in no roster, and one with the
    stolen hop key of a sensor;
  * inside the broker: a tap (harness/tap.c) writes down what the broker itself sees.
Of the secure environments it reads the audit counters and states, over their audit sockets.

    observer.py PLAN    (JSON; made by demo.py)

It answers in JSON lines on standard output: {"ready"}, {"seen": n, "line"}, {"failed": n, "why"}; then to each line on
standard input: to {"alone": GROUP} (the IN-CSE was switched off) with {"noted"}, to {"acted": GROUP} with {"line"} or
{"why"}, to a JSON list of plaintexts with {"secret": true, "lines"} or {"secret": false, "why"}.
"""

import base64
import json
import ssl
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paho.mqtt.client as mqtt  # noqa: E402

from harness.relay import Relays  # noqa: E402
from harness.tap import GIVEN, PUBLISHED, Tap  # noqa: E402


def say(**content):
    print(json.dumps(content), flush=True)


class Eavesdropper:
    """A client with a good hop certificate; subscribes to whatever it can think of."""

    def __init__(self, plan):
        self.stem = plan["stem"]
        self.stolen = plan["stolen"]
        self.mn = plan["mn"]
        self.refused, self.granted, self.asked, self.received = [], [], {}, []
        self.client = mqtt.Client(client_id="eavesdropper as " + self.stem)
        self.client.tls_set(plan["ca"], plan["certificate"], plan["key"], cert_reqs=ssl.CERT_REQUIRED)
        self.client.on_connect = self._connected
        self.client.on_subscribe = self._subscribed
        self.client.on_message = lambda _client, _data, message: self.received.append(
            (message.topic, bytes(message.payload)))
        self.filters = plan["filters"]
        self.client.connect_async("localhost", plan["port"])
        self.client.loop_start()

    def _connected(self, client, _data, _flags, _code):
        for topic_filter in self.filters:
            _, identifier = client.subscribe(topic_filter, 1)
            self.asked[identifier] = topic_filter

    def _subscribed(self, client, _data, identifier, granted):
        topic_filter = self.asked.get(identifier)
        (self.refused if granted[0] >= 128 else self.granted).append(topic_filter)
        if not self.stolen and len(self.refused) + len(self.granted) == len(self.filters):
            # Its own registration is answered to it: so it does hear what it may hear.
            client.publish(f"/oneM2M/reg_req/{self.stem}/{self.mn}/json", json.dumps(
                {"op": 1, "to": f"/{self.mn}", "fr": self.stem, "rqi": "eavesdropper", "rvi": "3", "ty": 2,
                 "pc": {"m2m:ae": {"api": "Neavesdropper", "rr": True, "srv": ["3"]}}}), 1)


def is_eavesdropper(record):
    return record.client.startswith("eavesdropper")


class Secenvs:
    """Audit counters and states, by name; asked at most every 300 ms."""

    def __init__(self, program, sockets):
        self.program, self.sockets, self.cache = program, sockets, {}

    def read(self, name):
        at, value = self.cache.get(name, (0, None))
        if time.monotonic() - at > 0.3:
            result = subprocess.run([self.program, "audit", self.sockets[name]], capture_output=True, text=True,
                                    timeout=10, check=False, stdin=subprocess.DEVNULL)
            value = json.loads(result.stdout) if result.returncode == 0 else None
            self.cache[name] = (time.monotonic(), value)
        return value or {"counters": {}, "identities": []}

    def answers(self, name):
        return bool(self.read(name)["identities"])

    def counter(self, name, counter):
        return self.read(name)["counters"].get(counter, 0)

    def identity(self, name, identity):
        return next((row for row in self.read(name)["identities"] if row["identity"] == identity), {})

    def epochs(self, name, identity):
        return {row["group"]: row["epoch"] for row in self.identity(name, identity).get("groups", [])}


class NotYet(Exception):
    """What is still missing."""


def need(condition, text):
    if not condition:
        raise NotYet(text)


class Observer:
    def __init__(self, plan):
        self.plan = plan
        self.in_cse, self.mn = plan["in_cse"], plan["mn_cse"]
        self.devices = plan["devices"]
        self.members = [{"name": "mn", "identity": self.mn, "mode": plan["mn_mode"], "groups": plan["groups"]},
                        *({**device, "groups": [device["group"]]} for device in self.devices)]
        self.secenvs = Secenvs(plan["secenv"], plan["audit"])
        self.tap, self.records = Tap(plan["tap"]), []
        self.wire = Relays([(relay["listen"], relay["broker"]) for relay in plan["relays"]])
        self.eavesdroppers = []
        self.before = None  # when the IN-CSE was switched off

    def listen(self):
        """The eavesdroppers come when the broker is there: before any message that they could miss."""
        self.eavesdroppers = [Eavesdropper(plan) for plan in self.plan["eavesdroppers"]]

    def overheard(self):
        return [payload for eavesdropper in self.eavesdroppers for _, payload in eavesdropper.received]

    def traffic(self):
        self.records += self.tap.read()
        return self.records

    # The eight steps of DESIGN section 1. Each returns its line, or raises NotYet.

    def groups_are_created(self):
        count = self.secenvs.counter("authority", "groups_created")
        epochs = self.secenvs.epochs("authority", self.in_cse)
        missing = set(self.plan["groups"]) - set(epochs)
        need(not missing, f"the IN-CSE's secure environment has no group {', '.join(sorted(missing))}")
        need(count >= len(self.plan["groups"]), f"it has created {count} groups")
        return f"IN-CSE creates the groups {', '.join(sorted(self.plan['groups']))}"

    def keys_are_generated(self):
        made = self.secenvs.counter("authority", "group_keys_made")
        epochs = self.secenvs.epochs("authority", self.in_cse)
        need(made >= len(self.plan["groups"]) and all(epochs.get(group) for group in self.plan["groups"]),
             f"the IN-CSE's secure environment has made {made} group keys")
        return f"IN-CSE generates a key for each group, in its secure environment ({made} made so far)"

    def hops_are_secure(self):
        users = {record.user for record in self.traffic()}
        for name in [self.plan["in_cse_user"], *(device["stem"] for device in self.devices)]:
            need(name in users, f"{name} is not connected to the broker")
        need(self.wire.outside_tls() == 0, f"{self.wire.outside_tls()} connections are not TLS")
        counts = []
        for relay in self.plan["relays"]:
            count = self.wire.established(relay["broker"])
            need(count >= relay["clients"], f"{count} of {relay['clients']} TLS connections by {relay['mode']}")
            counts.append(f"{relay['clients']} by {relay['mode']}")
        return f"IN-CSE and {len(self.devices)} ADN-AEs reach the MN-CSE over TLS only ({', '.join(counts)})"

    def ends_are_authenticated(self):
        for member in self.members:
            state = self.secenvs.identity(member["name"], member["identity"])
            need(state.get("associated"), f"{member['identity']} has no end-to-end association")
            need(state["mode"] == member["mode"] and state["mechanism"] == "gs-wrap/1",
                 f"{member['identity']} has {state['mode']} and {state['mechanism']}")
        texts = []
        for mode in ("cert", "psk"):
            wanted = sum(1 for member in self.members if member["mode"] == mode)
            done = self.secenvs.counter("authority", f"handshakes_done_{mode}")
            need(done >= wanted, f"the IN-CSE has done {done} of {wanted} authentications by {mode}")
            texts.append(f"{wanted} by {'certificate' if mode == 'cert' else 'pre-shared key'}")
        return f"IN-CSE and all {len(self.members)} members authenticate end to end, {' and '.join(texts)}; " \
               "they agree on gs-wrap/1"

    def _objects(self, access, topic, user):
        """(to, eckm) of the NOTIFY requests of the IN-CSE on a topic."""
        for record in self.traffic():
            if record.access != access or record.topic != topic or record.user != user or is_eavesdropper(record):
                continue
            primitive = json.loads(record.payload)
            if primitive.get("op") == 5 and primitive.get("fr") == self.in_cse:
                yield primitive["to"], primitive["pc"]["m2m:seci"]["eckm"]

    def _sent(self):
        level = self.plan["in_cse_user"]
        return list(self._objects(PUBLISHED, f"/oneM2M/req/{level}/{self.plan['mn_level']}/json", level))

    def keys_are_sent(self):
        sent = self._sent()
        for member in self.members:
            need(any(to == member["identity"] for to, _ in sent),
                 f"the IN-CSE has sent the MN-CSE nothing for {member['identity']}")
        wanted = sum(len(member["groups"]) for member in self.members)
        sealed = self.secenvs.counter("authority", "packages_sent")
        need(sealed >= wanted, f"the IN-CSE has sealed {sealed} of {wanted} key packages")
        return f"IN-CSE seals {wanted} key packages and sends them to the MN-CSE, in oneM2M notifications"

    def keys_are_forwarded(self):
        sent = self._sent()
        for device in self.devices:
            topic = f"/oneM2M/req/{self.plan['mn_level']}/{device['stem']}/json"
            given = {eckm for to, eckm in self._objects(GIVEN, topic, device["stem"]) if to == device["identity"]}
            need(given & {eckm for to, eckm in sent if to == device["identity"]},
                 f"nothing of the IN-CSE reached {device['stem']} unchanged")
        own = [eckm.encode() for to, eckm in sent if to == self.mn]
        # Whether an eavesdropper is given it, only the plugin decides: what it did get is in overheard().
        given = [record.payload for record in self.traffic()
                 if record.access == GIVEN and not is_eavesdropper(record)]
        for payload in given + self.overheard():
            need(not any(eckm in payload for eckm in own), "what was for the MN-CSE itself went on")
        return f"MN-CSE forwards, unchanged, what is for the {len(self.devices)} ADN-AEs, and keeps its own"

    def packages_are_opened(self):
        for member in self.members:
            for counter, wanted in (("records_opened", 1), ("packages_opened", len(member["groups"]))):
                value = self.secenvs.counter(member["name"], counter)
                need(value >= wanted,
                     f"the secure environment of {member['identity']} has {counter} {value} of {wanted}")
        return "Each receiver takes its envelope out and passes it to its secure environment, which opens it"

    def keys_are_kept(self):
        wanted = sum(len(member["groups"]) for member in self.members)
        accepted = self.secenvs.counter("authority", "packages_accepted")
        need(accepted >= wanted, f"{accepted} of {wanted} key packages are acknowledged")
        made = self.secenvs.epochs("authority", self.in_cse)
        for member in self.members:
            kept = self.secenvs.epochs(member["name"], member["identity"])
            for group in member["groups"]:
                need(kept.get(group) == made[group],
                     f"{member['identity']} has epoch {kept.get(group)} of {group}, the IN-CSE {made[group]}")
        return f"All {len(self.members)} members hold their groups' current keys, in their secure environments only"

    def watch_steps(self):
        steps = [self.groups_are_created, self.keys_are_generated, self.hops_are_secure,
                 self.ends_are_authenticated, self.keys_are_sent, self.keys_are_forwarded,
                 self.packages_are_opened, self.keys_are_kept]
        for number, step in enumerate(steps, 1):
            end = time.monotonic() + self.plan["step_seconds"]
            while True:
                try:
                    say(seen=number, line=step())
                    break
                except NotYet as missing:
                    if time.monotonic() > end:
                        say(failed=number, why=str(missing))
                        return False
                time.sleep(0.1)
        return True

    # The MN-CSE on its own.

    def members_of(self, group):
        return [device for device in self.devices if device["group"] == group]

    def note_alone(self, group):
        """What there was before: commands of the group that its devices and the MN-CSE know of, and all traffic."""
        opened = {device["name"]: self.secenvs.counter(device["name"], "commands_opened")
                  for device in self.members_of(group)}
        self.before = (len(self.traffic()), opened, self.secenvs.counter("mn", "commands_own"))

    def mn_cse_has_acted(self, group):
        seen, opened, own = self.before
        records = self.traffic()[seen:]
        topic = f"groupseal/v1/{self.plan['mn_level']}/{group}/cmd"
        need(not self.secenvs.answers("authority"), "the IN-CSE's secure environment is still there")
        need(not any(record.user == self.plan["in_cse_user"] and record.access == PUBLISHED for record in records),
             "the IN-CSE has said something")
        need(self.secenvs.counter("mn", "commands_own") == own + 1, "the MN-CSE has given no command of its own")
        for device in self.members_of(group):
            need(any(record.user == device["stem"] and record.topic == topic and record.access == GIVEN and
                     not is_eavesdropper(record) for record in records), f"no command was given to {device['name']}")
            need(self.secenvs.counter(device["name"], "commands_opened") == opened[device["name"]] + 1,
                 f"the secure environment of {device['name']} has not opened one more command")
            need(any(record.topic.startswith(f"groupseal/v1/{self.plan['mn_level']}/{group}/ack/") and
                     record.user == device["stem"] and record.access == PUBLISHED for record in records),
                 f"{device['name']} has not answered")
        return f"no word of the IN-CSE, one sealed command of the MN-CSE's own, opened and answered by the " \
               f"{len(self.members_of(group))} {group}"

    def watch_acting(self, group):
        end = time.monotonic() + self.plan["step_seconds"]
        while True:
            try:
                say(line=self.mn_cse_has_acted(group))
                return
            except NotYet as missing:
                if time.monotonic() > end:
                    say(why=str(missing))
                    return
            time.sleep(0.1)

    # Nobody on the way can read.

    def check_secrecy(self, plaintexts):
        broker = [record for record in self.traffic() if record.access in (GIVEN, PUBLISHED)]
        sealed = [record for record in broker if record.topic.startswith("groupseal/")]
        wire = self.wire.bytes()
        lines = [f"on the wire: {sum(map(len, wire))} bytes in {len(self.wire.connections)} connections, TLS only, "
                 "no plaintext"]
        try:
            need(sum(map(len, wire)) > 0, "nothing was seen on the wire")
            for kind in ("cmd", "msg", "ack"):
                need(any(record.topic.split("/")[4] == kind for record in sealed),
                     f"no {kind} message was seen in the broker")
            for where, texts in (("on the wire", wire), ("by an eavesdropping client", self.overheard()),
                                 ("in the broker", [record.payload for record in broker])):
                found = find([text for payload in texts for text in opened(payload)],
                             [text.encode() for text in plaintexts])
                need(found is None, f"plaintext was seen {where}: {found!r}")
            for eavesdropper in self.eavesdroppers:
                lines.append(self.check_eavesdropper(eavesdropper))
        except NotYet as why:
            say(secret=False, why=str(why))
            return
        lines.append(f"inside the broker: {len(sealed)} group messages seen, all ciphertext")
        say(secret=True, lines=lines)

    @staticmethod
    def check_eavesdropper(eavesdropper):
        heard = [topic for topic, _ in eavesdropper.received]
        groups = {topic.split("/")[3] for topic in heard if topic.startswith("groupseal/")}
        refused = f"{len(eavesdropper.refused)} of {len(eavesdropper.filters)} subscriptions refused, {len(heard)} " \
                  "messages heard"
        if not eavesdropper.stolen:
            need(any("/reg_resp/" in topic for topic in heard), "the eavesdropping client heard nothing at all")
            need(not groups, f"the eavesdropping client was given messages of {', '.join(groups)}")
            return f"client with valid TLS credentials, in no roster: {refused}, none of a group"
        need(groups == {eavesdropper.stolen}, f"the eavesdropper with a stolen key heard of the groups {groups}")
        need(any("/msg/" in topic for topic in heard), "the eavesdropper with a stolen key heard no member message")
        return f"client with the stolen TLS key of {eavesdropper.stem}: {refused}, " \
               f"{sum(topic.startswith('groupseal/') for topic in heard)} of its group, all ciphertext"


def opened(payload):
    """A payload, and the end-to-end object in it."""
    yield payload
    try:
        yield base64.b64decode(json.loads(payload)["pc"]["m2m:seci"]["eckm"])
    except (ValueError, KeyError, TypeError):
        pass


def find(texts, plaintexts):
    """The first run of 8 bytes (all of a shorter plaintext) of a plaintext, plain or in base64, in a text."""
    needles = set()
    for plain in plaintexts:
        needles |= {plain[i:i + 8] for i in range(max(1, len(plain) - 7))}
        for skip in range(3):
            code = base64.b64encode(b"\0" * skip + plain)
            inner = code[4 if skip else 0:len(code) - 4]
            if len(inner) >= 8:
                needles.add(inner)
    return next((needle for text in texts for needle in sorted(needles) if needle in text), None)


def main():
    observer = Observer(json.loads(Path(sys.argv[1]).read_text()))
    say(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request == "listen":
            observer.listen()
        elif request == "watch":
            if not observer.watch_steps():
                return 1
        elif "alone" in request:
            observer.note_alone(request["alone"])
            say(noted=True)
        elif "acted" in request:
            observer.watch_acting(request["acted"])
        else:
            observer.check_secrecy(request)
    return 0


if __name__ == "__main__":
    sys.exit(main())
