# SPDX-License-Identifier: GPL-3.0-or-later
"""One attack of the broker on the way, live; test_evil.py, with all of them, is the long one."""

from test_evil import make, site, test_repeated_and_reordered  # noqa: F401
