"""Checks, before anything is started, that what the stack needs is installed."""

import importlib.util
import sys

from infra.local.failures import StartFailed
from infra.local.paths import EMULATOR_PYTHON, TEMPLATE

_PACKAGES = ("awslambdaric", "boto3", "httpx", "uvicorn", "watchfiles")


def check_tools() -> None:
    """Raise StartFailed for the first thing that is missing."""
    if sys.version_info[:2] != (3, 13):
        raise StartFailed(f"Python 3.13 is needed, this is {sys.version_info.major}.{sys.version_info.minor}")
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise StartFailed(f"{name} is not installed: make setup")
    if not EMULATOR_PYTHON.exists():
        raise StartFailed("the emulator is not installed: make .local/emulator/.ready")
    if not TEMPLATE.exists():
        raise StartFailed("template.yaml is not there")
