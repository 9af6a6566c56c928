"""Reads the configuration of one environment from samconfig.toml and template.yaml."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.runtime.template import ROOT, Document

SAMCONFIG = ROOT / "samconfig.toml"
# Parameters that `make deploy` sets.
OWN_PARAMETERS = frozenset({"ProtectData", "Release"})


class ConfigurationInvalid(Exception):
    """Raised if samconfig.toml is invalid or does not contain the environment. The message is one line."""


@dataclass(frozen=True)
class Configuration:
    """The configuration of an environment.

    `overrides` are the parameters in samconfig.toml, and `parameters` are all parameters of the template.
    """

    environment: str
    stack_name: str
    overrides: Mapping[str, str]
    parameters: Mapping[str, str]
    region: str | None = None
    profile: str | None = None

    def count(self, parameter: str) -> int:
        """Return the value of a parameter as an integer, or 0 if the value is not an integer."""
        value = self.parameters.get(parameter, "")
        return int(value) if re.fullmatch(r"-?\d+", value) else 0


def read_configuration(environment: str, template: Document, path: Path = SAMCONFIG) -> Configuration:
    """Read the configuration of an environment. A parameter without an override has the template's default.

    All parameters are included, because SAM uses the stack's previous value for an omitted parameter. Raises
    ConfigurationInvalid if the file is invalid or does not contain the environment.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationInvalid(f"{path.name}: {error}") from error
    known = [name for name, section in content.items() if isinstance(section, dict) and "deploy" in section]
    if environment not in known:
        raise ConfigurationInvalid(f"ENV={environment} is unknown: {path.name} has {', '.join(known)}")
    given = content[environment]["deploy"].get("parameters", {})
    overrides = _read_overrides(given.get("parameter_overrides", []), path.name)
    defaults = {name: str(item.get("Default", "")) for name, item in template["Parameters"].items()}
    return Configuration(
        environment=environment,
        stack_name=str(given.get("stack_name", f"atrium-{environment}")),
        overrides=overrides,
        parameters=defaults | overrides,
        region=given.get("region"),
        profile=given.get("profile"),
    )


def check_parameters(configuration: Configuration, template: Document) -> Iterator[str]:
    """Check that each override is a parameter of the template and has an allowed value."""
    for name, value in configuration.overrides.items():
        parameter = template["Parameters"].get(name)
        if parameter is None or name in OWN_PARAMETERS:
            reason = "is set by make deploy" if name in OWN_PARAMETERS else "is not a parameter of template.yaml"
            yield f"{name} {reason}: remove it from samconfig.toml"
            continue
        allowed = [str(choice) for choice in parameter.get("AllowedValues", [])]
        pattern = parameter.get("AllowedPattern")
        if allowed and value not in allowed:
            yield f"{name}={value} is not one of {', '.join(allowed)}"
        elif pattern and not re.fullmatch(pattern, value):
            yield f"{name}={value} does not match {pattern}"


def _read_overrides(given: Any, source: str) -> dict[str, str]:
    if isinstance(given, dict):
        return {str(name): str(value) for name, value in given.items()}
    if isinstance(given, list) and all(isinstance(item, str) and "=" in item for item in given):
        return {name: value.strip("\"'") for name, value in (item.split("=", 1) for item in given)}
    raise ConfigurationInvalid(f'{source}: parameter_overrides must be a table or a list of "Name=value"')
