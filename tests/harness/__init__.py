# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs real sites of broker, secure environments and agents, for ./demo and the integration tests."""
