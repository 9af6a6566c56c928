"""Reads the secrets of a deployment. They are JSON objects in Secrets Manager, and are cached for five minutes.

    signing      {"keys": [{"kid", "private_key", …}]}          ES256 keys in PEM with times (`identity.signing`)
    pepper       {"current": 1, "peppers": {"1": base64url}}    HMAC keys for API keys, by version
    credential   same format as pepper                          HMAC keys for one-time tokens and client secrets
    login        same format as pepper                          HMAC keys that only the identity function uses
    cursor       {"key": base64url}                             key that encrypts the cursors of lists
    idempotency  {"key": base64url}                             HMAC key for the fingerprints of idempotent calls
    model        {"anthropic_api_key", "openai_api_key", …}     the platform's API keys, by vendor of the model
    oauth        {"google": {"client_id", "client_secret"}, …}  the platform's OAuth clients, may be empty
    search       {"brave_api_key", "tavily_api_key"}            the platform's keys at providers of web search

Each purpose has a separate key. Purposes of the same functions share a secret, from which their keys are derived
(`PURPOSES`). Purposes of different functions never share a secret, because a function that reads a secret can derive
all its keys. A missing, empty or invalid secret raises `Unavailable`. `python -m infra.bootstrap` creates the first six
secrets.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from atrium.kernel.crypto import decode_base64url, hmac_sha256
from atrium.kernel.errors import Conflict, Unavailable
from atrium.settings import SecretName, Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider
    from types_boto3_secretsmanager import SecretsManagerClient

KEPT_SECONDS = 300
_BOOTSTRAP = "run `make bootstrap`"
_REMEDIES: Mapping[SecretName, str] = {
    "model": 'put the API keys of the model providers into it, as {"anthropic_api_key": "…"}',
    "search": 'put the key of the search provider into it, as {"brave_api_key": "…"}',
}
REFRESH_SECONDS_MIN = 30.0

type Purpose = Literal[
    "api_key", "one_time_token", "client_secret", "refresh_token", "authorization_code", "consent_form",
    "sign_in_state", "pkce_verifier", "id_token_nonce",
]  # fmt: skip
type VersionedSecret = Literal["pepper", "credential", "login"]

PURPOSES: Mapping[VersionedSecret, tuple[Purpose, ...]] = {
    "pepper": ("api_key",),
    "credential": ("one_time_token", "client_secret"),
    "login": (
        "refresh_token", "authorization_code", "consent_form", "sign_in_state", "pkce_verifier", "id_token_nonce",
    ),
}  # fmt: skip
"""The purposes of each versioned secret. If a secret has one purpose, its key is used directly; otherwise the keys of
the purposes are derived from it.
"""
_SECRET_OF: Mapping[Purpose, VersionedSecret] = {
    purpose: name for name, purposes in PURPOSES.items() for purpose in purposes
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key with its private key in PEM format, which is hidden from `repr`.

    Times are epoch seconds. The first key of a deployment has no times.
    """

    kid: str
    private_pem: str = field(repr=False)
    created_at: int = 0
    signs_from: int = 0
    ends_at: int | None = None

    def is_over(self, now: int) -> bool:
        return self.ends_at is not None and self.ends_at <= now


@dataclass(frozen=True, slots=True)
class Pepper:
    """The HMAC key of one purpose and version, hidden from `repr`."""

    version: int
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Peppers:
    """The HMAC keys of one purpose, by version."""

    secrets: Secrets
    purpose: Purpose

    def current(self) -> Pepper:
        """Return the pepper that is used for new values."""
        return self._read()[0]

    def find(self, version: int) -> Pepper | None:
        """Return the pepper with this version, or None if it does not exist.

        An unknown version may cause a new read of the secret.
        """
        found = {pepper.version: pepper for pepper in self._read()}
        if version not in found and self.secrets.may_refresh(_SECRET_OF[self.purpose]):
            found = {pepper.version: pepper for pepper in self._read(fresh=True)}
        return found.get(version)

    def _read(self, *, fresh: bool = False) -> tuple[Pepper, ...]:
        name = _SECRET_OF[self.purpose]
        found = self.secrets.read_versions(name, fresh=fresh)
        if len(PURPOSES[name]) == 1:
            return found
        label = f"atrium {self.purpose} 1".encode()
        return tuple(Pepper(each.version, hmac_sha256(each.value, label)) for each in found)


@dataclass
class Secrets:
    """Reads the secrets whose ARNs are in the environment of the function.

    An unknown `kid` or version causes a read before the cache expires. Such reads of a secret are at least 30 seconds
    apart, because callers can send an invented `kid`.
    """

    settings: Settings
    ticks: Callable[[], float] = time.monotonic
    client: SecretsManagerClient | None = None
    _refreshed: dict[str, float] = field(default_factory=dict, init=False)
    _filled_until: dict[str, float] = field(default_factory=dict, init=False)

    def signing_keys(self, *, fresh: bool = False) -> tuple[SigningKey, ...]:
        """Return the signing keys. `identity.signing` decides which key signs and which keys verify."""
        return self._read("signing", _signing_keys, fresh=fresh)

    def find_signing_key(self, kid: str) -> SigningKey | None:
        """Return the signing key with this `kid`, or None if it does not exist."""
        found = {key.kid: key for key in self.signing_keys()}
        if kid not in found and self.may_refresh("signing"):
            found = {key.kid: key for key in self.signing_keys(fresh=True)}
        return found.get(kid)

    def replace_signing_keys(self, change: Callable[[tuple[SigningKey, ...]], tuple[SigningKey, ...]]) -> None:
        """Replace the signing keys with the result of `change`; raise `Conflict` if another call changes them.

        The client request token is derived from the version that was read, so Secrets Manager rejects a second write
        that is based on the same version.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        client, arn = self._provider.client, self._arn("signing")
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

    def peppers(self, purpose: Purpose) -> Peppers:
        return Peppers(self, purpose)

    def read_versions(self, name: VersionedSecret, *, fresh: bool = False) -> tuple[Pepper, ...]:
        """Return all peppers of a secret, with the current pepper first. Other modules call `peppers` instead."""
        return self._read(name, read_peppers, fresh=fresh)

    def key(self, name: Literal["cursor", "idempotency"]) -> bytes:
        """Return the key of a secret that has only one key."""
        return self._read(name, lambda secret: _key(secret["key"]))

    def model_api_key(self, vendor: str) -> str:
        """Return the platform's API key for the models of a vendor. The environment variable takes precedence over the
        secret.
        """
        key = self.settings.model_api_keys.get(vendor)
        return key or self._read("model", lambda secret: _text(secret[f"{vendor}_api_key"]))

    def has_model_api_key(self, vendor: str) -> bool:
        """Return whether the platform has an API key for a vendor. Raise `Unavailable` if the secret cannot be read."""
        if self.settings.model_api_keys.get(vendor):
            return True
        if "model" not in self.settings.secret_arns:
            return False
        return self._read("model", lambda secret: bool(secret.get(f"{vendor}_api_key")), absent=False)

    def search_api_key(self, provider: str) -> str:
        """Return the platform's key at a provider of web search."""
        return self._read("search", lambda secret: _text(secret[f"{provider}_api_key"]))

    def require_values(self, *names: SecretName) -> None:
        """Raise `Unavailable` if one of the secrets has no value, without reading the values.

        A successful check is cached for five minutes.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        for name in names:
            if self.ticks() < self._filled_until.get(name, float("-inf")):
                continue
            try:
                found = self._provider.client.describe_secret(SecretId=self._arn(name))
            except (ClientError, BotoCoreError) as error:
                raise Unavailable(internal=_explain(name, error)) from None
            if not any("AWSCURRENT" in stages for stages in found.get("VersionIdsToStages", {}).values()):
                raise Unavailable(internal=f"the {name} secret has no value: {_REMEDIES.get(name, _BOOTSTRAP)}")
            self._filled_until[name] = self.ticks() + KEPT_SECONDS

    def platform_client(self, provider: str) -> tuple[str, str]:
        """Return the client id and client secret of the platform's OAuth client at a provider.

        Returns two empty strings if the platform has no client at this provider.
        """
        if "oauth" not in self.settings.secret_arns:
            return "", ""
        none: dict[str, tuple[str, str]] = {}
        clients = self._read("oauth", _oauth_clients, absent=none)
        return clients.get(provider, ("", ""))

    def _arn(self, name: SecretName) -> str:
        try:
            return self.settings.secret_arns[name]
        except KeyError:
            raise Unavailable(internal=f"this function's environment has no {name} secret") from None

    @cached_property
    def _provider(self) -> SecretsProvider:
        from aws_lambda_powertools.utilities.parameters import SecretsProvider
        from botocore.config import Config

        # Two attempts and the pause between them take at most 4.4 s; the authorizer times out after 5 s.
        short = Config(connect_timeout=0.5, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2})
        return SecretsProvider(boto_config=short, boto3_client=self.client)

    def _read[Value](
        self,
        name: SecretName,
        parse: Callable[[Mapping[str, Any]], Value],
        *,
        fresh: bool = False,
        absent: Value | None = None,
    ) -> Value:
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError, TransformParameterError

        arn = self._arn(name)
        try:
            found: Any = self._provider.get(arn, max_age=KEPT_SECONDS, transform="json", force_fetch=fresh)
            return parse(found)
        except GetParameterError as error:
            if absent is not None and _code(error.__context__) == "ResourceNotFoundException":
                return absent
            raise Unavailable(internal=_explain(name, error.__context__), retry_after_seconds=1) from None
        except (TransformParameterError, KeyError, TypeError, ValueError, AttributeError) as error:
            # The texts of these errors may contain the secret.
            kind = type(error).__name__
            remedy = _REMEDIES.get(name, _BOOTSTRAP)
            raise Unavailable(internal=f"the {name} secret is invalid ({kind}): {remedy}") from None

    def may_refresh(self, name: SecretName) -> bool:
        """Return whether an unknown version or `kid` may cause a new read of a secret now.

        Returns True at most once per secret every 30 seconds.
        """
        now = self.ticks()
        if now - self._refreshed.get(name, float("-inf")) < REFRESH_SECONDS_MIN:
            return False
        self._refreshed[name] = now
        return True


def _code(cause: BaseException | None) -> str:
    response = getattr(cause, "response", {})
    return str(response.get("Error", {}).get("Code", type(cause).__name__))


def _explain(name: SecretName, cause: BaseException | None) -> str:
    code = _code(cause)
    if code == "ResourceNotFoundException":
        return f"the {name} secret has no value: {_REMEDIES.get(name, _BOOTSTRAP)}"
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
    """Return the peppers in a parsed secret, with the current pepper first.

    Raises `KeyError`, `TypeError` or `ValueError` if the secret is invalid.
    """
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
