# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""test_agreement.py, with 100,000 messages."""

from test_agreement import agree_on


def test_agreement_on_many(build):
    agree_on(build, 100_000)
