"""The settings of a function, which are read once from its environment variables.

Other modules do not read `os.environ`. The only exception is the log level (`atrium.http.logs`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, cast, get_args

type Environment = Literal["dev", "staging", "prod"]
type ModelProvider = Literal["anthropic", "bedrock"]
MODEL_VENDORS = ("anthropic", "openai", "zhipu")
"""The vendors whose models a deployment can call. `llm.registry` contains their adapters."""
type WebSearchProvider = Literal["none", "brave", "tavily"]
WEB_SEARCH_PROVIDERS: tuple[WebSearchProvider, ...] = get_args(WebSearchProvider.__value__)
"""The providers of the tool `web_search`, after "none". `tools.search_provider` contains their adapters."""
ARCHIVE_IDLE_SECONDS_MIN = 600
type SecretName = Literal[
    "signing", "pepper", "credential", "login", "cursor", "idempotency", "model", "oauth", "search"
]


class SettingsInvalid(Exception):
    """The environment variables of the function are invalid, so the function cannot start."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that the template passes to a function. Secrets are passed as ARNs, not as values."""

    environment: Environment
    version: str
    table_name: str
    blobs_bucket: str
    public_url: str
    cors_origins: tuple[str, ...]
    default_tenant: str
    secret_arns: Mapping[SecretName, str]
    model_provider: ModelProvider
    model_base_urls: Mapping[str, str]
    model_api_keys: Mapping[str, str]
    max_turn_seconds: int
    platform_concurrency: int = -1
    bedrock_geography: str = "global"
    egress_local_addresses: frozenset[str] = frozenset()
    refresh_grace_seconds: int = 10
    tenant_secrets_key_id: str = ""
    oauth_provider_url: str = ""
    minutes_open: bool = False
    tenant_role_arn: str = ""
    jobs_queue_url: str = ""
    web_search_provider: WebSearchProvider = "none"
    web_search_url: str = ""
    archive_idle_seconds: int = 0

    @classmethod
    def read(cls, source: Mapping[str, str] | None = None) -> Self:
        """Read the settings from the environment or from `source`. Raise `SettingsInvalid` if a value is invalid."""
        env = os.environ if source is None else source
        return cls(
            environment=cast("Environment", _choice(env, "ATRIUM_ENVIRONMENT", get_args(Environment.__value__))),
            version=env.get("ATRIUM_VERSION", "0.1.0"),
            table_name=env.get("TABLE_NAME", ""),
            blobs_bucket=env.get("BLOBS_BUCKET", ""),
            public_url=env.get("PUBLIC_URL", "").rstrip("/"),
            cors_origins=tuple(part.strip() for part in env.get("CORS_ORIGINS", "").split(",") if part.strip()),
            default_tenant=env.get("DEFAULT_TENANT", ""),
            secret_arns=_secret_arns(env),
            model_provider=cast("ModelProvider", _choice(env, "MODEL_PROVIDER", get_args(ModelProvider.__value__))),
            model_base_urls=by_vendor(env, "BASE_URL"),
            model_api_keys=by_vendor(env, "API_KEY"),
            max_turn_seconds=_seconds(env, "MAX_TURN_SECONDS", 280),
            platform_concurrency=_count(env, "PLATFORM_CONCURRENCY", -1),
            bedrock_geography=env.get("BEDROCK_GEOGRAPHY") or "global",
            egress_local_addresses=_local_addresses(env),
            refresh_grace_seconds=_seconds(env, "REFRESH_GRACE_SECONDS", 10, least=0, most=60),
            tenant_secrets_key_id=env.get("TENANT_SECRETS_KEY_ID", ""),
            oauth_provider_url=env.get("OAUTH_PROVIDER_URL", "") if _local_addresses(env) else "",
            minutes_open=_choice(env, "MINUTES_OPEN", ("false", "true")) == "true",
            tenant_role_arn=env.get("TENANT_ROLE_ARN", ""),
            jobs_queue_url=env.get("JOBS_QUEUE_URL", ""),
            web_search_provider=cast("WebSearchProvider", _choice(env, "WEB_SEARCH_PROVIDER", WEB_SEARCH_PROVIDERS)),
            archive_idle_seconds=_idle_seconds(env),
            web_search_url=env.get("WEB_SEARCH_URL", "") if _local_addresses(env) else "",
        )


def by_vendor(env: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the values of the variables `<VENDOR>_<name>` that are set and not empty."""
    found = {vendor: env.get(f"{vendor.upper()}_{name}", "") for vendor in MODEL_VENDORS}
    return {vendor: value for vendor, value in found.items() if value}


def _secret_arns(env: Mapping[str, str]) -> dict[SecretName, str]:
    """Return the ARNs of the secrets that are passed to the function in the variables `<NAME>_SECRET_ARN`."""
    names: tuple[SecretName, ...] = get_args(SecretName.__value__)
    found = {name: env.get(f"{name.upper()}_SECRET_ARN", "") for name in names}
    return {name: arn for name, arn in found.items() if arn}


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if value != "-1" and not (value.isdecimal() and int(value) >= 1):
        raise SettingsInvalid(f"{name} must be a whole number of at least 1, or -1 for no limit")
    return int(value)


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = env.get(name) or choices[0]
    if value not in choices:
        raise SettingsInvalid(f"{name} must be one of {', '.join(choices)}")
    return value


def _local_addresses(env: Mapping[str, str]) -> frozenset[str]:
    """Return the private addresses that outbound calls may reach. Only the local stack sets these addresses.

    In Lambda, 127.0.0.1 is the Runtime API. Therefore no template sets the variable, and the variable is rejected
    outside dev.
    """
    found = frozenset(part for part in env.get("EGRESS_LOCAL_ADDRESSES", "").split(",") if part)
    if found and (env.get("ATRIUM_ENVIRONMENT", "dev") != "dev" or not found <= {"127.0.0.1", "::1"}):
        raise SettingsInvalid("EGRESS_LOCAL_ADDRESSES may only be set in dev, and may only contain 127.0.0.1 and ::1")
    return found


def _idle_seconds(env: Mapping[str, str]) -> int:
    """Return the seconds after which a session is archived, or 0 for never.

    The minimum covers a turn of five minutes that began five minutes after the session's last move in the lists.
    """
    value = _seconds(env, "ARCHIVE_IDLE_SECONDS", 0, least=0, most=9_999_999)
    if 0 < value < ARCHIVE_IDLE_SECONDS_MIN:
        raise SettingsInvalid(f"ARCHIVE_IDLE_SECONDS must be 0 or at least {ARCHIVE_IDLE_SECONDS_MIN}")
    return value


def _seconds(env: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int = 900) -> int:
    value = env.get(name) or str(default)
    if not value.isdecimal() or not least <= int(value) <= most:
        raise SettingsInvalid(f"{name} must be a whole number of seconds from {least} to {most}")
    return int(value)
