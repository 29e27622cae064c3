# SPDX-License-Identifier: GPL-3.0-or-later
"""A group rotated, deleted and made again; test_renewal.py, with revocation and refreshed leaves, is the long one."""

from test_renewal import test_rotated_deleted_and_made_again  # noqa: F401
