"""Reads the options of `make dev` from environment variables."""

import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from atrium.settings import MODEL_VENDORS, by_vendor

from infra.local import StartFailed
from infra.local.paths import EMULATOR_PYTHON, TEMPLATE

_STAGE_PREFIX = re.compile(r"/[A-Za-z0-9_-]{1,64}")
_PACKAGES = ("awslambdaric", "boto3", "httpx", "uvicorn", "watchfiles")
# The value of OAUTH_PROVIDER_URL that selects the real Google, GitHub and Slack.
REAL_PROVIDERS = "real"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Configuration:
    """The options of `make dev`. `stage_prefix` is empty if the API is served at the root, as with a custom domain."""

    port: int = 8080
    stage_prefix: str = ""
    detached: bool = False
    log_level: str = "INFO"
    colours: bool = True
    model_base_urls: Mapping[str, str] = field(default_factory=dict)
    model_api_keys: Mapping[str, str] = field(default_factory=dict)
    oauth_provider_url: str = ""

    @classmethod
    def read(cls, source: Mapping[str, str] | None = None) -> Self:
        """Read the options from the environment, or from `source`. Raises StartFailed for an invalid value."""
        env = os.environ if source is None else source
        prefix = env.get("STAGE_PREFIX", "").rstrip("/")
        if prefix and not _STAGE_PREFIX.fullmatch(prefix):
            raise StartFailed("STAGE_PREFIX must be a slash and a name, as /dev")
        level = env.get("LOG_LEVEL", "INFO").upper()
        if level not in _LEVELS:
            raise StartFailed(f"LOG_LEVEL must be one of {', '.join(_LEVELS)}")
        return cls(
            port=_read_port(env.get("PORT", "8080")),
            stage_prefix=prefix,
            detached=env.get("DETACH", "") not in {"", "0"},
            log_level=level,
            colours=not env.get("NO_COLOR"),
            model_base_urls={vendor: url.rstrip("/") for vendor, url in by_vendor(env, "BASE_URL").items()},
            model_api_keys=by_vendor(env, "API_KEY"),
            oauth_provider_url=env.get("OAUTH_PROVIDER_URL", "").rstrip("/"),
        )

    @property
    def scripted_vendors(self) -> tuple[str, ...]:
        """Return the vendors without a configured URL or key. The scripted model server replaces them."""
        return tuple(
            each for each in MODEL_VENDORS if each not in self.model_base_urls and each not in self.model_api_keys
        )


def _read_port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise StartFailed(f"PORT must be a number up to 65535, not {text!r}")
    return int(text)


def check_tools() -> None:
    """Check that the tools that the stack needs are installed. Raises StartFailed for the first missing tool."""
    if sys.version_info[:2] != (3, 13):
        raise StartFailed(f"Python 3.13 is needed, found {sys.version_info.major}.{sys.version_info.minor}")
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise StartFailed(f"{name} is not installed: run `make setup`")
    if not EMULATOR_PYTHON.exists():
        raise StartFailed("the emulator is not installed: run `make .local/emulator/.ready`")
    if not TEMPLATE.exists():
        raise StartFailed("template.yaml does not exist")
