"""Paths of the local stack's files. All generated files are inside `.local/`, which git ignores."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
RUN = STATE / "run"
DESCRIPTION = STATE / "dev.json"
LOG = STATE / "dev.log"
PID_FILE = RUN / "dev.pid"
TEMPLATE = ROOT / "template.yaml"
ERRORS = RUN / "dev.stderr"
PYTHON = Path(sys.executable)
EMULATOR_PYTHON = STATE / "emulator" / "bin" / "python"
