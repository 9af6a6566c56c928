"""The secrets: their formats, caching, and the errors for missing values."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from atrium.kernel.crypto import encode_base64url
from atrium.kernel.errors import Unavailable
from atrium.settings import Settings
from atrium.storage.secrets import Secrets

from tests.builders.deployments import create_secrets

pytestmark = pytest.mark.usefixtures("aws_secrets")
GOOD_KEY = encode_base64url(b"k" * 32)


class Ticks:
    """A monotonic clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class SecretStore:
    """A deployment's secrets, written by the test."""

    def __init__(self) -> None:
        self.client, self.arns = create_secrets()
        self.ticks = Ticks()
        self.secrets = self.open()

    def open(self, **environment: str) -> Secrets:
        names = {
            "SIGNING_SECRET_ARN": self.arns.signing,
            "PEPPER_SECRET_ARN": self.arns.pepper,
            "CURSOR_SECRET_ARN": self.arns.cursor,
            "MODEL_SECRET_ARN": self.arns.model,
        }
        return Secrets(Settings.read({**names, **environment}), self.ticks, self.client)

    def put(self, arn: str, value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self.client.put_secret_value(SecretId=arn, SecretString=text)

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        calls: list[str] = []

        def note(model: Any, **_: object) -> None:
            calls.append(model.name)

        events = self.secrets._provider.client.meta.events
        events.register("before-call.secrets-manager", note)
        yield calls
        events.unregister("before-call.secrets-manager", note)


@pytest.fixture
def store() -> SecretStore:
    return SecretStore()


def test_reads_values(store: SecretStore) -> None:
    store.put(store.arns.cursor, {"key": GOOD_KEY})
    store.put(store.arns.pepper, {"current": 2, "peppers": {"1": GOOD_KEY, "2": encode_base64url(b"n" * 32)}})
    store.put(store.arns.signing, {"keys": [{"kid": "a", "private_key": "A"}, {"kid": "b", "private_key": "B"}]})
    store.put(store.arns.model, {"anthropic_api_key": "sk-model"})
    secrets = store.secrets
    assert secrets.cursor_key() == b"k" * 32
    assert (secrets.current_pepper().version, secrets.current_pepper().value) == (2, b"n" * 32)
    assert secrets.find_pepper(1).value == b"k" * 32
    assert [key.kid for key in secrets.signing_keys()] == ["a", "b"]
    assert secrets.find_signing_key("b") == secrets.signing_keys()[1]
    assert secrets.anthropic_api_key() == "sk-model"


def test_prefers_the_model_key_of_the_environment(store: SecretStore) -> None:
    store.put(store.arns.model, {"anthropic_api_key": "sk-secret"})
    assert store.open(ANTHROPIC_API_KEY="sk-environment").anthropic_api_key() == "sk-environment"


def test_a_value_is_read_once(store: SecretStore) -> None:
    store.put(store.arns.cursor, {"key": GOOD_KEY})
    with store.counting() as calls:
        for _ in range(5):
            store.secrets.cursor_key()
    assert calls == ["GetSecretValue"]


def test_reads_again_for_an_unknown_pepper_version(store: SecretStore) -> None:
    store.put(store.arns.pepper, {"current": 1, "peppers": {"1": GOOD_KEY}})
    store.secrets.current_pepper()
    store.put(store.arns.pepper, {"current": 2, "peppers": {"1": GOOD_KEY, "2": GOOD_KEY}})
    with store.counting() as calls:
        assert store.secrets.find_pepper(2).version == 2
        for _ in range(5):
            with pytest.raises(Unavailable, match="no version 3"):
                store.secrets.find_pepper(3)
        assert len(calls) == 1
        store.ticks.now += 30
        with pytest.raises(Unavailable):
            store.secrets.find_pepper(3)
        assert len(calls) == 2


def test_unknown_kids_cost_one_read_per_thirty_seconds(store: SecretStore) -> None:
    store.put(store.arns.signing, {"keys": [{"kid": "a", "private_key": "A"}]})
    store.secrets.signing_keys()
    with store.counting() as calls:
        assert [store.secrets.find_signing_key(f"made-up-{at}") for at in range(20)] == [None] * 20
    assert len(calls) == 1


def test_an_empty_secret_names_the_command_to_run(store: SecretStore) -> None:
    with pytest.raises(Unavailable) as caught:
        store.secrets.current_pepper()
    assert caught.value.internal == "the pepper secret has no value: run `make bootstrap`"
    assert "pepper" not in caught.value.detail


def test_a_function_without_a_secret(store: SecretStore) -> None:
    with pytest.raises(Unavailable, match="has no pepper secret"):
        store.open(PEPPER_SECRET_ARN="").current_pepper()


@pytest.mark.parametrize(
    "value",
    [
        "not json, but hush",
        "[]",
        "7",
        "{}",
        {"current": 1, "peppers": {}},
        {"current": 2, "peppers": {"1": GOOD_KEY}},
        {"current": "x", "peppers": {"1": GOOD_KEY}},
        {"current": 1, "peppers": {"1": encode_base64url(b"short")}},
        {"current": 1, "peppers": {"1": "hush, not base64"}},
        {"current": 1, "peppers": {"1": 7}},
        {"current": 1, "peppers": [GOOD_KEY]},
    ],
)
def test_an_invalid_value_is_not_in_the_error(store: SecretStore, value: object) -> None:
    store.put(store.arns.pepper, value)
    with pytest.raises(Unavailable) as caught:
        store.secrets.current_pepper()
    assert "run `make bootstrap`" in caught.value.internal
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_errors_of_secrets_manager(store: SecretStore) -> None:
    store.put(store.arns.cursor, {"key": GOOD_KEY})

    def refuse(**_: object) -> None:
        raise ConnectionError("hush")

    store.secrets._provider.client.meta.events.register("before-call.secrets-manager", refuse)
    with pytest.raises(Unavailable) as caught:
        store.secrets.cursor_key()
    assert caught.value.internal == "the cursor secret cannot be read: ConnectionError"
    assert caught.value.retry_after_seconds == 1


def test_repr_does_not_show_values(store: SecretStore) -> None:
    store.put(store.arns.signing, {"keys": [{"kid": "a", "private_key": "hush"}]})
    store.put(store.arns.pepper, {"current": 1, "peppers": {"1": GOOD_KEY}})
    assert "hush" not in repr(store.secrets.signing_keys())
    assert "kkk" not in repr(store.secrets.current_pepper())
