"""The secrets of a deployment: JSON objects in Secrets Manager, read through Powertools and cached for five minutes.

    signing   {"keys": [{"kid", "private_key", …}]}          ES256 in PEM, with times: `identity.signing`
    pepper    {"current": 1, "peppers": {"1": base64url}}    HMAC keys of stored API keys, by version
    cursor    {"key": base64url}                             encrypts the cursors of lists
    model     {"anthropic_api_key"}                          the platform's own, optional on Bedrock
    oauth     {"google": {"client_id", "client_secret"}, …}  the platform's clients at providers, may be empty

A missing, empty or invalid secret is `Unavailable`; `python -m infra.bootstrap` fills the first three.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from atrium.kernel.crypto import decode_base64url
from atrium.kernel.errors import Conflict, Unavailable
from atrium.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider
    from types_boto3_secretsmanager import SecretsManagerClient

KEPT_SECONDS = 300
REFRESH_SECONDS_MIN = 30.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in PEM, hidden from `repr`. Times are epoch seconds; a deployment's first key has none."""

    kid: str
    private_pem: str = field(repr=False)
    created_at: int = 0
    signs_from: int = 0
    ends_at: int | None = None

    def is_over(self, now: int) -> bool:
        return self.ends_at is not None and self.ends_at <= now


@dataclass(frozen=True, slots=True)
class Pepper:
    """The HMAC key of one version, hidden from `repr`."""

    version: int
    value: bytes = field(repr=False)


@dataclass
class Secrets:
    """Reads the secrets that this function's environment names.

    An unknown `kid` or version causes one early read, at most every 30 seconds, because callers can invent a `kid`.
    """

    settings: Settings
    ticks: Callable[[], float] = time.monotonic
    client: SecretsManagerClient | None = None
    _refreshed: dict[str, float] = field(default_factory=dict, init=False)
    _model_key_until: float = field(default=float("-inf"), init=False)

    def signing_keys(self, *, fresh: bool = False) -> tuple[SigningKey, ...]:
        """Return the signing keys; `identity.signing` decides which one signs and which ones verify."""
        return self._read("signing", self.settings.signing_secret_arn, _signing_keys, fresh=fresh)

    def find_signing_key(self, kid: str) -> SigningKey | None:
        """Return the key with that id, or None."""
        found = {key.kid: key for key in self.signing_keys()}
        if kid not in found and self._may_refresh("signing"):
            found = {key.kid: key for key in self.signing_keys(fresh=True)}
        return found.get(kid)

    def replace_signing_keys(self, change: Callable[[tuple[SigningKey, ...]], tuple[SigningKey, ...]]) -> None:
        """Write the keys that `change` returns for the current ones; raise `Conflict` if another call wrote meanwhile.

        The request token is derived from the version that was read, so a second write over it is refused.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        client, arn = self._provider.client, self.settings.signing_secret_arn
        try:
            found = client.get_secret_value(SecretId=arn)
            keys = change(_signing_keys(json.loads(found["SecretString"])))
            token = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{arn}#{found['VersionId']}"))
            text = json.dumps({"keys": [_render_key(key) for key in keys]})
            client.put_secret_value(SecretId=arn, SecretString=text, ClientRequestToken=token)
        except client.exceptions.ResourceExistsException:
            raise Conflict("Another call changed the signing keys at the same time. Read them and try again.") from None
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(internal=_explain("signing", error), retry_after_seconds=1) from None
        self.signing_keys(fresh=True)

    def current_pepper(self) -> Pepper:
        """Return the pepper for new keys."""
        return self._peppers()[0]

    def find_pepper(self, version: int) -> Pepper:
        """Return the pepper of a stored key's version; raise `Unavailable` if it does not exist."""
        found = self.seek_pepper(version)
        if found is None:
            raise Unavailable(internal=f"the pepper secret has no version {version}, which a stored key needs")
        return found

    def seek_pepper(self, version: int) -> Pepper | None:
        """Return the pepper of a version that a caller named, or None."""
        found = {pepper.version: pepper for pepper in self._peppers()}
        if version not in found and self._may_refresh("pepper"):
            found = {pepper.version: pepper for pepper in self._peppers(fresh=True)}
        return found.get(version)

    def cursor_key(self) -> bytes:
        return self._read("cursor", self.settings.cursor_secret_arn, lambda secret: _key(secret["key"]))

    def anthropic_api_key(self) -> str:
        """Return the platform's model key; the environment variable takes precedence, as in the SDK."""
        if self.settings.anthropic_api_key:
            return self.settings.anthropic_api_key
        return self._read("model", self.settings.model_secret_arn, lambda secret: _text(secret["anthropic_api_key"]))

    def require_model_key(self) -> None:
        """Raise `Unavailable` if the model secret has no value. Does not read the value. Success is cached."""
        from botocore.exceptions import BotoCoreError, ClientError

        if self.ticks() < self._model_key_until:
            return
        try:
            found = self._provider.client.describe_secret(SecretId=self.settings.model_secret_arn)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(internal=_explain("model", error)) from None
        if not any("AWSCURRENT" in stages for stages in found.get("VersionIdsToStages", {}).values()):
            raise Unavailable(internal='the model secret has no value: put {"anthropic_api_key"} into it')
        self._model_key_until = self.ticks() + KEPT_SECONDS

    def platform_client(self, provider: str) -> tuple[str, str]:
        """Return id and secret of the platform's client at a provider; empty if it has none."""
        if not self.settings.oauth_secret_arn:
            return "", ""
        none: dict[str, tuple[str, str]] = {}
        clients = self._read("oauth", self.settings.oauth_secret_arn, _oauth_clients, absent=none)
        return clients.get(provider, ("", ""))

    def _peppers(self, *, fresh: bool = False) -> tuple[Pepper, ...]:
        return self._read("pepper", self.settings.pepper_secret_arn, read_peppers, fresh=fresh)

    @cached_property
    def _provider(self) -> SecretsProvider:
        from aws_lambda_powertools.utilities.parameters import SecretsProvider
        from botocore.config import Config

        # Two attempts and the pause between them take at most 4.4 s; the authorizer times out after 5 s.
        short = Config(connect_timeout=0.5, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2})
        return SecretsProvider(boto_config=short, boto3_client=self.client)

    def _read[Value](
        self,
        name: str,
        arn: str,
        parse: Callable[[Mapping[str, Any]], Value],
        *,
        fresh: bool = False,
        absent: Value | None = None,
    ) -> Value:
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError, TransformParameterError

        if not arn:
            raise Unavailable(internal=f"this function's environment has no {name} secret")
        try:
            found: Any = self._provider.get(arn, max_age=KEPT_SECONDS, transform="json", force_fetch=fresh)
            return parse(found)
        except GetParameterError as error:
            if absent is not None and _code(error.__context__) == "ResourceNotFoundException":
                return absent
            raise Unavailable(internal=_explain(name, error.__context__), retry_after_seconds=1) from None
        except (TransformParameterError, KeyError, TypeError, ValueError, AttributeError) as error:
            # These errors' texts may contain the secret.
            kind = type(error).__name__
            raise Unavailable(internal=f"the {name} secret is invalid ({kind}): run `make bootstrap`") from None

    def _may_refresh(self, name: str) -> bool:
        now = self.ticks()
        if now - self._refreshed.get(name, float("-inf")) < REFRESH_SECONDS_MIN:
            return False
        self._refreshed[name] = now
        return True


def _code(cause: BaseException | None) -> str:
    response = getattr(cause, "response", {})
    return str(response.get("Error", {}).get("Code", type(cause).__name__))


def _explain(name: str, cause: BaseException | None) -> str:
    code = _code(cause)
    if code == "ResourceNotFoundException":
        return f"the {name} secret has no value: run `make bootstrap`"
    return f"the {name} secret cannot be read: {code}"


def _signing_keys(secret: Mapping[str, Any]) -> tuple[SigningKey, ...]:
    found = tuple(
        SigningKey(
            _text(key["kid"]),
            _text(key["private_key"]),
            created_at=int(key.get("created_at", 0)),
            signs_from=int(key.get("signs_from", 0)),
            ends_at=int(key["ends_at"]) if key.get("ends_at") is not None else None,
        )
        for key in secret["keys"]
    )
    if not found:
        raise ValueError("no key")
    return found


def _oauth_clients(secret: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {name: (_text(each["client_id"]), _text(each["client_secret"])) for name, each in secret.items()}


def _render_key(key: SigningKey) -> dict[str, object]:
    times = {"created_at": key.created_at, "signs_from": key.signs_from, "ends_at": key.ends_at}
    return {"kid": key.kid, "private_key": key.private_pem, **{name: at for name, at in times.items() if at}}


def read_peppers(secret: Mapping[str, Any]) -> tuple[Pepper, ...]:
    """Return the peppers in the secret's JSON, the current one first; raise `KeyError`, `ValueError` or `TypeError`."""
    found = {int(version): Pepper(int(version), _key(value)) for version, value in secret["peppers"].items()}
    current = found.pop(int(secret["current"]))
    return (current, *found.values())


def _key(text: object) -> bytes:
    raw = decode_base64url(_text(text))
    if len(raw) < 32:
        raise ValueError("a key must have at least 32 bytes")
    return raw


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("empty")
    return value
