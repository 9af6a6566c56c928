"""Builds the command lines of SAM CLI and the digest that identifies a release."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from infra.deploy.configuration import OWN_PARAMETERS, Configuration
from infra.runtime.template import ROOT

SAM = ROOT / ".local" / "sam" / "bin" / "sam"
BUILD = ROOT / ".aws-sam" / "build"


def release_digest(parameters: Mapping[str, str], build: Path = BUILD) -> str:
    """Return a SHA-256 digest of the build and of all parameters that affect the functions."""
    digest = hashlib.sha256()
    for name in sorted(parameters.keys() - OWN_PARAMETERS):
        digest.update(f"{name}={parameters[name]}\0".encode())
    for path in sorted(build.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(build)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def deploy_command(
    configuration: Configuration, region: str, release: str, *, creates: bool, interactive: bool
) -> list[str]:
    """Return the command line of `sam deploy`.

    If `creates` is true, data protection is disabled, and SAM CLI deletes the stack if its creation fails.
    """
    own = {"ProtectData": "false" if creates else "true", "Release": release}
    command = [str(SAM), "deploy", "--config-env", configuration.environment, "--region", region]
    if creates:
        command += ["--on-failure", "DELETE"]
    if not interactive:
        command.append("--no-confirm-changeset")
    return [
        *command,
        "--parameter-overrides",
        *(_render(*item) for item in {**configuration.parameters, **own}.items()),
    ]


def _render(name: str, value: str) -> str:
    return f'{name}="{value}"' if not value or " " in value else f"{name}={value}"
