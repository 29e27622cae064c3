# SPDX-License-Identifier: GPL-3.0-or-later
"""./demo, with the build that is tested."""

from harness.processes import REPOSITORY, run, wait_until


def demo(build, tmp_path, *options):
    """What ./demo does after its build, with the build that is tested."""
    folder = tmp_path / "build"
    folder.mkdir()
    for part in ("bin", "lib"):
        (folder / part).symlink_to(build / part)
    result = run(["/usr/bin/python3", REPOSITORY / "tests" / "demo" / "demo.py", folder, *options], check=False,
                 seconds=120)
    print(result.stdout, result.stderr)
    # Nothing keeps running, and no secret stays.
    wait_until(lambda: run(["pgrep", "-f", str(folder)], check=False).stdout == "", 10, "nothing keeps running")
    assert not (folder / "site" / "pki").exists() and not (folder / "site" / "store").exists()
    return result
