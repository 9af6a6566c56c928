"""Fills the empty secrets of a stack and creates platform keys.

Filling the secrets and creating the first platform key are idempotent and do not replace existing values. Two
concurrent runs are safe, because the first value of a secret has a fixed version id and the first platform key has a
marker item. The second run therefore changes nothing.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from atrium.identity.keys.issue import issue_key
from atrium.identity.keys.model import ApiKey, IssuedKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import PLATFORM
from atrium.kernel.crypto import encode_base64url
from atrium.kernel.ids import KeyId
from atrium.kernel.pagination import PageRequest
from atrium.settings import MODEL_VENDORS, WEB_SEARCH_PROVIDERS, Environment
from atrium.storage import platform_keys
from atrium.storage.secrets import Pepper, read_peppers
from atrium.storage.table import PhysicalTable, PlatformTable, TransactionRefused
from atrium.storage.writes import NEW, Put
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

FIRST_KEY_NAME = "bootstrap"
_KEY_BYTES = 32


class BootstrapFailed(Exception):
    """Raised if the credentials cannot be created. The message is one line."""


@dataclass(frozen=True)
class SecretArns:
    """ARNs of the secrets that `make bootstrap` fills. A secret with an empty ARN is skipped."""

    signing: str
    pepper: str
    credential: str
    login: str
    cursor: str
    idempotency: str
    model: str = ""
    search: str = ""

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, str]) -> SecretArns:
        """Read the ARNs from the stack's outputs. Raises BootstrapFailed if an output is missing."""
        try:
            return cls(*[outputs[f"{name.title()}SecretArn"] for name in SECRETS])
        except KeyError as error:
            raise BootstrapFailed(f"the stack has no output {error}: is it one of this template?") from None

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a function that uses all secrets."""
        return {f"{name.upper()}_SECRET_ARN": getattr(self, name) for name in SECRETS}


SECRETS = tuple(field.name for field in fields(SecretArns))
type ProviderSecret = Literal["model", "search"]
PROVIDER_SECRETS: Mapping[str, ProviderSecret] = {
    **dict.fromkeys(MODEL_VENDORS, "model"), **dict.fromkeys(WEB_SEARCH_PROVIDERS[1:], "search"),
}  # fmt: skip
"""The secret with the API key of each provider."""


def fill_secrets(
    client: SecretsManagerClient,
    arns: SecretArns,
    *,
    api_keys: Mapping[ProviderSecret, Mapping[str, str]] | None = None,
) -> tuple[str, ...]:
    """Write a value into each empty secret and return the names of the filled secrets.

    `api_keys` are the keys of providers, by secret and provider. Without a key, the secret of these providers stays
    empty. Idempotent. Raises BootstrapFailed if a secret does not exist.
    """
    wanted: dict[str, tuple[str, Callable[[], Mapping[str, object]]]] = {
        "signing": (arns.signing, _make_signing_keys),
        "pepper": (arns.pepper, _make_peppers),
        "credential": (arns.credential, _make_peppers),
        "login": (arns.login, _make_peppers),
        "cursor": (arns.cursor, _make_key),
        "idempotency": (arns.idempotency, _make_key),
    }
    for name, keys in (api_keys or {}).items():
        wanted[name] = (getattr(arns, name), partial(_named, keys))
    return tuple(name for name, (arn, make) in wanted.items() if arn and _fill(client, name, arn, make))


def replace_api_key(client: SecretsManagerClient, arns: SecretArns, provider: str, api_key: str) -> None:
    """Write the API key of a provider of models or web search. The keys of other providers are not changed.

    Raises BootstrapFailed if the secret has an invalid value.
    """
    name = PROVIDER_SECRETS[provider]
    arn, keys = getattr(arns, name), _named({provider: api_key})
    try:
        keys = {**json.loads(client.get_secret_value(SecretId=arn)["SecretString"]), **keys}
    except client.exceptions.ResourceNotFoundException:
        pass
    except (KeyError, ValueError, TypeError):
        raise BootstrapFailed(f"the {name} secret has an invalid value; it was not changed") from None
    client.put_secret_value(SecretId=arn, SecretString=json.dumps(keys))


def _named(api_keys: Mapping[str, str]) -> dict[str, str]:
    return {f"{provider}_api_key": key for provider, key in api_keys.items()}


def read_pepper(client: SecretsManagerClient, arns: SecretArns) -> Pepper:
    """Return the pepper for new API keys. Raises BootstrapFailed if the secret has no value or an invalid value."""
    try:
        return read_peppers(json.loads(client.get_secret_value(SecretId=arns.pepper)["SecretString"]))[0]
    except client.exceptions.ResourceNotFoundException:
        raise BootstrapFailed("the pepper secret has no value") from None
    except (KeyError, ValueError, TypeError, AttributeError):
        raise BootstrapFailed("the pepper secret has an invalid value; it was not changed") from None


def make_first_platform_key(
    table: PhysicalTable, pepper: Pepper, environment: Environment, *, now: datetime
) -> str | None:
    """Create the first platform key and return its text. Return None if the key already exists."""
    issued = _issue(pepper, environment, FIRST_KEY_NAME, now)
    platform = PlatformTable(table)
    marker = Put(platform_keys.first_platform_key(), {"key_id": issued.key.id}, NEW)
    try:
        platform.transact([marker, KeyStore(platform).creation(issued.key)])
    except TransactionRefused:
        return None
    return issued.text


def make_platform_key(
    table: PhysicalTable, pepper: Pepper, environment: Environment, *, now: datetime, name: str = FIRST_KEY_NAME
) -> str:
    """Create another platform key and return its text."""
    issued = _issue(pepper, environment, name, now)
    KeyStore(PlatformTable(table)).create(issued.key)
    return issued.text


def revoke_platform_key(table: PhysicalTable, key_id: KeyId, *, now: datetime) -> bool:
    """Revoke a platform key. Return False if no key has this id."""
    return KeyStore(PlatformTable(table)).revoke(key_id, at=now, now=now) is not None


def list_platform_keys(table: PhysicalTable) -> list[ApiKey]:
    """Return the 100 oldest platform keys."""
    return KeyStore(PlatformTable(table)).list(PageRequest(limit=100)).items


def _issue(pepper: Pepper, environment: Environment, name: str, now: datetime) -> IssuedKey:
    return issue_key(environment, pepper, tenant_id=None, name=name, scopes=[PLATFORM], now=now)


def _fill(client: SecretsManagerClient, name: str, arn: str, make: Callable[[], Mapping[str, object]]) -> bool:
    """Write the first value of a secret. Return False if the secret already has a value."""
    try:
        client.get_secret_value(SecretId=arn)
    except client.exceptions.ResourceNotFoundException:
        pass
    else:
        return False
    token = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{arn}#first"))
    try:
        client.put_secret_value(SecretId=arn, SecretString=json.dumps(make()), ClientRequestToken=token)
    except client.exceptions.ResourceExistsException:
        return False
    except client.exceptions.ResourceNotFoundException:
        raise BootstrapFailed(f"the {name} secret {arn} does not exist") from None
    return True


def _make_signing_keys() -> dict[str, object]:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"keys": [{"kid": secrets.token_hex(8), "private_key": pem}]}


def _make_peppers() -> dict[str, object]:
    return {"current": 1, "peppers": {"1": encode_base64url(secrets.token_bytes(_KEY_BYTES))}}


def _make_key() -> dict[str, object]:
    return {"key": encode_base64url(secrets.token_bytes(_KEY_BYTES))}
