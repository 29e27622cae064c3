# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""Processes killed with SIGKILL at random moments, one or several at once, while commands flow: no command runs twice,
none is forgotten. GROUPSEAL_SEED repeats the order of the kills (not their exact moments)."""

import json
import os
import random
import threading
import time

from harness.processes import run, wait_until
from harness.site import Device

KILLS = 120
VALID_S = 300  # longer than the test: none ends by its time
PARTS = ("secenv-authority", "secenv-mn", "broker", "in-cse", "Sdoor1", "Sdoor2", "Sdoor1 secenv")
ENDED = {"done", "failed", "unknown"}


class Orders(threading.Thread):
    """Sends commands, one after the other, until it is told to end; those that the authority took, by payload."""

    def __init__(self, site):
        super().__init__()
        self.site = site
        self.taken = {}
        self.tried = 0
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set():
            self.tried += 1
            payload = f"close {self.tried}"
            sent = self.site.operator("send", "doors", payload, "--valid", f"{VALID_S}s", "--wait", "1s", check=False)
            if sent.stdout:
                self.taken[payload] = json.loads(sent.stdout)["command_id"]
            else:
                time.sleep(0.2)


def kill(site, part):
    stem, _, embedded = part.partition(" ")
    if embedded:
        for child in run(["pgrep", "-P", site.running[stem].pid], check=False).stdout.split():
            run(["kill", "-KILL", child], check=False)
    else:
        site.running[part].kill()


def start(site, part):
    if part in site.devices:
        site.start_device(part)
    elif " " not in part:
        {"secenv-authority": site.start_authority, "secenv-mn": lambda: site.start_secenv("mn"),
         "broker": site.start_broker, "in-cse": site.start_in_cse}[part]()


def test_kills_at_random(make_site):
    seed = int(os.environ.get("GROUPSEAL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"GROUPSEAL_SEED={seed}")
    chance = random.Random(seed)
    site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")])
    site.start_all({"doors": "door"})
    orders = Orders(site)
    orders.start()
    kills = 0
    try:
        while kills < KILLS:
            time.sleep(chance.uniform(0, 0.8))
            parts = chance.sample(PARTS, chance.choice((1, 1, 1, 2, 3)))
            for part in parts:
                kill(site, part)
            kills += len(parts)
            for part in reversed(parts):
                start(site, part)
    finally:
        orders.ending.set()
        orders.join()
    site.wait_ready(seconds=120)
    assert site.send("doors", "last", "--valid", "120s", "--wait", "90s") == {"Sdoor1": "done", "Sdoor2": "done"}
    assert len(orders.taken) > KILLS / 10  # commands did flow

    def report(payload):
        shown = site.operator("report", orders.taken[payload], check=False)
        return {row["name"].rsplit("/", 1)[1]: row["outcome"] for row in json.loads(shown.stdout)["members"]}

    wait_until(lambda: all(set(report(payload).values()) <= ENDED for payload in orders.taken), 120,
               "all commands end", every=2)
    for payload in orders.taken:
        outcomes = report(payload)
        assert set(outcomes) == set(site.devices) and set(outcomes.values()) <= ENDED, (payload, outcomes)
        for stem, outcome in outcomes.items():
            ran = site.done(stem, payload)
            assert ran <= 1, f"{stem} ran {payload} {ran} times"
            assert outcome != "done" or ran == 1, f"{stem} says that it did {payload}"
    for number in range(1, orders.tried + 1):
        assert all(site.done(stem, f"close {number}") <= 1 for stem in site.devices)
