# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of the integration tests, for attacks on real processes."""

import importlib.util
from pathlib import Path

_file = Path(__file__).resolve().parents[1] / "integration" / "conftest.py"
_spec = importlib.util.spec_from_file_location("integration_conftest", _file)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

build, processes, pki, make_site = _module.build, _module.processes, _module.pki, _module.make_site
open_folder = _module.open_folder
