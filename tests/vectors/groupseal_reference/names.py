# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/protocol.md section 1: absolute ids, groups, sites."""

import re

NAME_LIMIT = 128
SITE_LIMIT = 64
LEVEL = r"[A-Za-z0-9._:-]+"
ABSOLUTE = re.compile(rf"//{LEVEL}/({LEVEL})(/C[A-Za-z0-9._:-]*)?\Z")
GROUP = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
SITE = re.compile(rf"{LEVEL}\Z")


def is_absolute(name):
    """By its form alone: whose it is, roster and policy say."""
    return len(name) <= NAME_LIMIT and ABSOLUTE.match(name) is not None


def is_group(name):
    return GROUP.match(name) is not None


def is_site(name):
    return len(name) <= SITE_LIMIT and SITE.match(name) is not None


def site_of(cse):
    """The topic level of an absolute CSE-ID, or None."""
    match = ABSOLUTE.match(cse) if is_absolute(cse) else None
    return match[1] if match and not match[2] and is_site(match[1]) else None
