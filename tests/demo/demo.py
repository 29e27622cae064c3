# SPDX-License-Identifier: GPL-3.0-or-later
"""The use case on one machine: starts a site and its observer, shows the eight steps, and lets it burn twice, the
second time with the IN-CSE switched off."""

import argparse
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.processes import Failure, clean_environment, free_ports, wait_until  # noqa: E402
from harness.site import IN_CSE, MN_CSE, Device, Site  # noqa: E402

STEP_SECONDS = 30
EAVESDROPPER = "Seavesdropper"
STOLEN = "Ssensor1"
GROUPS = {"sensors": "sensor", "doors": "door", "extinguishers": "extinguisher"}
DEVICES = [Device("Ssensor1", "sensor", "cert"), Device("Ssensor2", "sensor", "psk"),
           Device("Ssensor3", "sensor", "cert", hop="psk"),
           Device("Sdoor1", "door", "cert"), Device("Sdoor2", "door", "psk"), Device("Sdoor3", "door", "psk", hop="cert"),
           Device("Sextinguisher1", "extinguisher", "cert"), Device("Sextinguisher2", "extinguisher", "psk"),
           Device("Sextinguisher3", "extinguisher", "cert")]
# What makes the MN-CSE a commander for the doors, and lets it believe sensors: README and docs/operations.md.
POLICIES = {"sensors": ["--sign-messages"], "doors": ["--mn-cse-commands"], "extinguishers": []}
HEAT = "heat: 412 degrees Celsius at sensor 1"
SMOKE = '{"smoke": 80}'
ON_ITS_OWN = "close by rule"
RULES = {"rules": [{"name": "fire", "group": "sensors", "field": "smoke", "is": ">=", "value": 50, "devices": 2,
                    "within": "60s", "commands": [{"group": "doors", "payload": ON_ITS_OWN, "valid": "10m"}]}]}


def group_of(device):
    return next(group for group, function in GROUPS.items() if function == device.function)


class Observer:
    """The separate program that sees (observer.py)."""

    def __init__(self, plan_file, log):
        self.log = log.open("ab")
        self.process = subprocess.Popen(
            ["/usr/bin/python3", str(Path(__file__).with_name("observer.py")), str(plan_file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=clean_environment())
        self.answer()

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failure("the observer ended; see observer.log")
        return json.loads(line)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Demo:
    def __init__(self, build, without):
        self.without = without
        self.folder = build / "site"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.relay_ports = dict(zip(("cert", "psk"), free_ports(2)))
        self.site = Site(self.folder, build, DEVICES, tap=True, ports=self.relay_ports)
        # Else the client with the stolen key and the device that it was stolen from push each other off.
        self.site.broker.one_client = False
        if without != "rules":
            rules = self.folder / "rules.json"
            rules.write_text(json.dumps(RULES))
            self.site.broker.plugin |= {"commander": "mn-cse", "rules": rules}
        self.observer = None

    def plan(self):
        """What the observer has to know beforehand: who there is, and where to look."""
        site = self.site
        site.pki.make("device", EAVESDROPPER)
        hops = {hop: sum(1 for device in DEVICES if device.hop == hop) for hop in ("cert", "psk")}
        names = ["authority", "mn", *site.devices]
        return {
            "in_cse": IN_CSE, "mn_cse": MN_CSE, "in_cse_user": "in-cse", "mn_level": "mn-1", "mn_mode": "cert",
            "groups": list(GROUPS),
            "devices": [{"name": device.stem, "stem": device.stem, "identity": device.identity,
                         "mode": device.mode, "group": group_of(device)} for device in DEVICES],
            "secenv": str(site.secenv_program),
            "audit": {name: str(site.socket(f"{name}-audit")) for name in names},
            "tap": str(site.tap), "step_seconds": STEP_SECONDS,
            "relays": [{"mode": "certificate", "listen": self.relay_ports["cert"],
                        "broker": site.broker.certificate_port, "clients": hops["cert"] + 1},
                       {"mode": "pre-shared key", "listen": self.relay_ports["psk"],
                        "broker": site.broker.psk_port, "clients": hops["psk"]}],
            "eavesdroppers": [self.eavesdropper(EAVESDROPPER, None), self.eavesdropper(STOLEN, "sensors")]}

    def eavesdropper(self, stem, stolen):
        """`stolen`: the group of a real device, whose hop key was stolen."""
        pki = self.site.pki
        return {"stem": stem, "stolen": stolen, "mn": "mn-1", "port": self.relay_ports["cert"],
                "ca": str(pki.hop_ca), "certificate": str(pki.file(stem, "hop.pem")),
                "key": str(pki.file(stem, "hop.key")),
                "filters": ["#", "/#", "+/#", "groupseal/#", "groupseal/v1/mn-1/+/cmd", "groupseal/v1/mn-1/doors/#",
                            "groupseal/v1/+/+/msg/+", "groupseal/v1/mn-1/+/ack/+", "$share/x/groupseal/#",
                            "/oneM2M/#", "/oneM2M/req/#", "/oneM2M/resp/#", "/oneM2M/req/mn-1/Sdoor1/json",
                            "/oneM2M/req/in-cse/+/json", "+/oneM2M/+/+/+/+", f"/oneM2M/req/+/{stem}/#",
                            f"/oneM2M/resp/{stem}/+/#", f"/oneM2M/reg_resp/{stem}/+/#"]}

    def start(self):
        plan_file = self.folder / "plan.json"
        plan_file.write_text(json.dumps(self.plan()))
        self.observer = Observer(plan_file, self.folder / "observer.log")
        site = self.site
        site.start_authority()
        site.add_members()
        for group, function in GROUPS.items():
            site.operator("group", "create", group, "--function", function, "--site", MN_CSE, *POLICIES[group])
        if self.without != "mn-secenv":
            site.start_secenv("mn")
        site.start_broker()
        self.observer.ask("listen")
        if self.without != "in-cse":
            site.start_in_cse()
        for stem in site.devices:
            if not (self.without == "device" and stem == "Sdoor2"):
                site.start_device(stem)

    def watch(self):
        """Prints each step when the observer has seen it."""
        self.observer.ask("watch")
        for _ in range(8):
            answer = self.observer.answer()
            if "failed" in answer:
                raise Failure(f"step {answer['failed']} was not seen: {answer['why']}")
            print(f"  {answer['seen']}  {answer['line']}", flush=True)

    def burn(self):
        print("Fire:")
        site = self.site
        site.wait_ready(seconds=20)
        site.say_until_heard("Ssensor1", "sensors", HEAT, ["Ssensor2", "Ssensor3"])
        print(f'  Ssensor1 reports "{HEAT}", sealed, to sensors: Ssensor2 and Ssensor3 can read it')
        for group, payload in (("doors", "close"), ("extinguishers", "start")):
            self.command(group, payload)

    def command(self, group, payload):
        outcomes = self.site.send(group, payload)
        members = [device.stem for device in DEVICES if group_of(device) == group]
        for stem in members:
            if outcomes.get(stem) != "done" or self.site.done(stem, payload) != 1:
                raise Failure(f"{stem} did not execute \"{payload}\": {outcomes}")
            if self.site.audit(stem)["counters"]["commands_opened"] != 1:
                raise Failure(f"the secure environment of {stem} has not opened exactly one command")
        print(f'  operator sends "{payload}" to {group}: executed by {", ".join(members)}', flush=True)

    def burn_without_in_cse(self):
        print("The IN-CSE is switched off, and it burns again:")
        site = self.site
        for name in ("in-cse", "secenv-authority"):
            if site.running[name].stop() != 0:
                raise Failure(f"{name} did not end in good order")
        self.observer.ask({"alone": "doors"})
        self.observer.answer()
        for stem in ("Ssensor1", "Ssensor2"):
            if site.say(stem, "sensors", SMOKE) != "ok":
                raise Failure(f"{stem} could not report smoke")
        print("  Ssensor1 and Ssensor2 report smoke; the MN-CSE has a rule for that, in build/demo/site/rules.json")
        self.observer.ask({"acted": "doors"})
        answer = self.observer.answer()
        if "line" not in answer:
            raise Failure(f"the MN-CSE did not act on its own: {answer['why']}")
        doors = [device.stem for device in DEVICES if group_of(device) == "doors"]
        for stem in doors:  # an answer may have been that it is at it
            wait_until(lambda stem=stem: site.done(stem, ON_ITS_OWN) == 1, 20, f'{stem} executes "{ON_ITS_OWN}"')
        print(f"  observer: {answer['line']}", flush=True)

    def eavesdrop(self):
        print("Eavesdroppers:")
        self.observer.ask([HEAT, "close", "start", SMOKE, ON_ITS_OWN])
        answer = self.observer.answer()
        if not answer["secret"]:
            raise Failure(f"not secret: {answer['why']}")
        for line in answer["lines"]:
            print(f"  {line}")

    def stop(self):
        if self.observer:
            self.observer.stop()
        self.site.stop()
        for secret in ("pki", "store"):
            shutil.rmtree(self.folder / secret, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("build", type=lambda path: Path(path).resolve())
    parser.add_argument("--without", choices=["in-cse", "mn-secenv", "device", "rules"])
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    demo = None
    try:
        demo = Demo(arguments.build, arguments.without)
        demo.start()
        print("The eight steps, as an observer sees them:", flush=True)
        demo.watch()
        demo.burn()
        demo.burn_without_in_cse()
        demo.eavesdrop()
    except Failure as failure:
        print(f"demo: failed: {failure}", file=sys.stderr)
        print(f"demo: logs are in {arguments.build}/site", file=sys.stderr)
        return 1
    finally:
        if demo:
            demo.stop()
    print("demo: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
