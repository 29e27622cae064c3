# SPDX-License-Identifier: GPL-3.0-or-later
"""
A fleet loses its broker for so long that each agent's back-off has reached its limit: how long after the broker is
there again all are connected, the largest share of them in one second, and the broker's share of a processor.
  /usr/bin/python3 tests/bench/outage.py BUILD MEMBERS [FOLDER]
"""

import collections
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.processes import wait_until, whole_lines  # noqa: E402
from onboard import Bench, cpu_s, files_raise, FILES_BESIDE  # noqa: E402

OUTAGE_S = 75  # 1 + 2 + 4 + 8 + 16 + 32 s
LIMIT_S = 60  # of the agents' back-off
SHARE_LIMIT = 0.2  # without jitter it is all of them; a broker that others keep busy takes some seconds together


class Outage(Bench):
    def connections(self):
        """When devices have connected to the broker that runs now: seconds since 1970."""
        lines = whole_lines(self.broker.process.log)
        return [int(line.split(":", 1)[0]) for line in lines if "New client connected" in line and " A::" in line]

    def broker_again(self):
        self.broker.log = ["log_type error", "log_type warning", "log_type notice"]
        log = self.broker.process.log
        self.broker.process.kill()
        time.sleep(OUTAGE_S)
        log.unlink()
        self.broker.start()

    def measure(self):
        self.switch_on()
        self.broker_again()
        start, used = time.time(), cpu_s(self.broker.process.pid)
        wait_until(lambda: len(self.connections()) >= self.members, LIMIT_S, "all are connected again", every=0.5)
        took = time.time() - start
        busiest = collections.Counter(self.connections()).most_common(1)[0][1] / self.members
        return {"members": self.members, "outage_s": OUTAGE_S, "back_s": round(took, 1),
                "share_max": round(busiest, 3),
                "broker_cpu_share": round((cpu_s(self.broker.process.pid) - used) / took, 3)}


def main(build, members, folder=None):
    with tempfile.TemporaryDirectory(prefix="groupseal-outage-") as own:
        outage = Outage(build, folder or own, int(members))
        files_raise(outage.members + FILES_BESIDE)
        try:
            outage.start_site()
            outage.start_fleets()
            figures = outage.measure()
        finally:
            outage.processes.stop()
    print(json.dumps(figures), flush=True)
    if figures["share_max"] > SHARE_LIMIT:
        raise SystemExit(f"outage: more than {SHARE_LIMIT:.0%} of the agents came back in one second")


if __name__ == "__main__":
    main(*sys.argv[1:])
