"""Builds the environment of a function's process from Lambda's variables, the template's variables and overrides.

The process does not inherit variables. The override file, or env file, has the format of `sam local invoke --env-vars`.
It can change only variables that the template declares for the function.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.runtime.functions import Function
from infra.runtime.resources import REGION
from infra.runtime.template import ROOT, TemplateInvalid

STATE = ROOT / ".local"
type Overrides = Mapping[str, Mapping[str, str]]


def read_overrides(path: Path) -> Overrides:
    """Read an env file: `{"Parameters": {…}, "<LogicalId>": {…}}`. `Parameters` applies to all functions.

    Raises TemplateInvalid if the file is missing or invalid.
    """
    try:
        content = json.loads(path.read_text())
        return {
            str(owner): {str(name): str(value) for name, value in variables.items()}
            for owner, variables in content.items()
        }
    except (OSError, ValueError, AttributeError) as error:
        raise TemplateInvalid(f"{path.name} is not an env file: {error}") from error


def override(function: Function, overrides: Overrides) -> dict[str, str]:
    """Return the function's variables, with the template's values replaced by the values in the env file."""
    given = {**overrides.get("Parameters", {}), **overrides.get(function.logical_id, {})}
    known = function.declared | set(function.environment)
    return {**function.environment, **{name: value for name, value in given.items() if name in known}}


def lambda_environment(function: Function, task_root: Path, runtime_api: str) -> dict[str, str]:
    """Return the environment variables that Lambda sets."""
    return {
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_megabytes),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "LAMBDA_TASK_ROOT": str(task_root),
        "_HANDLER": function.handler,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }


def python_environment(paths: list[Path]) -> dict[str, str]:
    """Return environment variables with which `python` imports only from these paths and the standard library.

    Python does not write bytecode into these paths.
    """
    return {
        "PATH": f"{_interpreter_folder()}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": ":".join(str(path) for path in paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _interpreter_folder() -> Path:
    """Return a folder whose `python` runs this machine's interpreter without site-packages. Create missing files."""
    folder = STATE / "runtime" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    interpreter = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    script = f'#!/bin/sh\nexec "{interpreter}" -S "$@"\n'
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        target = folder / name
        if not target.exists() or target.read_text() != script:
            target.write_text(script)
            target.chmod(0o755)
    return folder
