"""What the developer may choose, read once from the environment of `make dev`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from infra.local.failures import StartFailed

_STAGE_PREFIX = re.compile(r"/[A-Za-z0-9_-]{1,64}")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Configuration:
    """The choices; `stage_prefix` is empty for the root, where a domain would map the API."""

    port: int = 8080
    stage_prefix: str = ""
    detached: bool = False
    log_level: str = "INFO"
    colours: bool = True
    anthropic_base_url: str = ""
    anthropic_api_key: str = ""

    @classmethod
    def read(cls, source: Mapping[str, str] | None = None) -> Self:
        """Read the environment, or a mapping in its place; raises StartFailed in one line."""
        env = os.environ if source is None else source
        prefix = env.get("STAGE_PREFIX", "").rstrip("/")
        if prefix and not _STAGE_PREFIX.fullmatch(prefix):
            raise StartFailed("STAGE_PREFIX must look like /dev")
        level = env.get("LOG_LEVEL", "INFO").upper()
        if level not in _LEVELS:
            raise StartFailed(f"LOG_LEVEL must be one of {', '.join(_LEVELS)}")
        return cls(
            port=_read_port(env.get("PORT", "8080")),
            stage_prefix=prefix,
            detached=env.get("DETACH", "") not in {"", "0"},
            log_level=level,
            colours=not env.get("NO_COLOR"),
            anthropic_base_url=env.get("ANTHROPIC_BASE_URL", "").rstrip("/"),
            anthropic_api_key=env.get("ANTHROPIC_API_KEY", ""),
        )

    @property
    def has_own_model(self) -> bool:
        """Whether the developer brings a model, so that the scripted one is not started."""
        return bool(self.anthropic_base_url or self.anthropic_api_key)


def _read_port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise StartFailed(f"PORT must be a number up to 65535, not {text!r}")
    return int(text)
