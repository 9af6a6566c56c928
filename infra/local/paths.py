"""Where the local stack keeps its things: all of it under `.local/`, which git ignores."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
RUN = STATE / "run"
DESCRIPTION = STATE / "dev.json"
LOG = STATE / "dev.log"
PID_FILE = RUN / "dev.pid"
TEMPLATE = ROOT / "template.yaml"
PYTHON = ROOT / ".venv" / "bin" / "python"
EMULATOR_PYTHON = STATE / "emulator" / "bin" / "python"
