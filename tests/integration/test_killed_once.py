# SPDX-License-Identifier: GPL-3.0-or-later
"""Each process killed once with SIGKILL; test_killed.py, with every order, is the long one."""

from test_killed import fleet, test_each_alone, test_embedded_secenv  # noqa: F401
