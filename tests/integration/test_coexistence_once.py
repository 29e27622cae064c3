# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin beside others: one of each kind, for the ordinary run."""

from test_coexistence import (connect, existing, pki, secenv, test_acl_file, test_clean_removal,  # noqa: F401
                              test_dynamic_security_after_ours, test_reload_under_load)
