"""The secrets: their formats, caching, and the errors for missing values."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from atrium.kernel.crypto import encode_base64url
from atrium.kernel.errors import Unavailable
from atrium.settings import Settings
from atrium.storage.secrets import PURPOSES, Pepper, Secrets

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
        return Secrets(Settings.read({**self.arns.environment(), **environment}), self.ticks, self.client)

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
    assert secrets.key("cursor") == b"k" * 32
    assert (secrets.peppers("api_key").current().version, secrets.peppers("api_key").current().value) == (2, b"n" * 32)
    assert secrets.peppers("api_key").find(1) == Pepper(1, b"k" * 32)
    assert [key.kid for key in secrets.signing_keys()] == ["a", "b"]
    assert secrets.find_signing_key("b") == secrets.signing_keys()[1]
    assert secrets.model_api_key("anthropic") == "sk-model"


def test_prefers_the_model_key_of_the_environment(store: SecretStore) -> None:
    store.put(store.arns.model, {"anthropic_api_key": "sk-secret"})
    assert store.open(ANTHROPIC_API_KEY="sk-environment").model_api_key("anthropic") == "sk-environment"


def test_knows_whether_a_vendor_has_a_key(store: SecretStore) -> None:
    vendors = ("anthropic", "openai", "zhipu")
    assert not any(map(store.open().has_model_api_key, vendors)), "the secret has no value"
    store.put(store.arns.model, {"anthropic_api_key": "sk-1", "openai_api_key": ""})
    assert list(map(store.open().has_model_api_key, vendors)) == [True, False, False]
    assert list(map(store.open(ZHIPU_API_KEY="sk-2").has_model_api_key, vendors)) == [True, False, True]


def test_each_vendor_has_a_key_of_its_own(store: SecretStore) -> None:
    store.put(store.arns.model, {"anthropic_api_key": "sk-a", "zhipu_api_key": "sk-z", "openai_api_key": ""})
    assert [store.secrets.model_api_key(vendor) for vendor in ("anthropic", "zhipu")] == ["sk-a", "sk-z"]
    with pytest.raises(Unavailable, match="put the API keys of the model providers into it"):
        store.secrets.model_api_key("openai")


def test_the_key_of_a_search_provider(store: SecretStore) -> None:
    with pytest.raises(Unavailable, match="no value: put the key of the search provider into it"):
        store.secrets.search_api_key("brave")
    store.put(store.arns.search, {"brave_api_key": "planted-brave"})
    assert store.secrets.search_api_key("brave") == "planted-brave"
    with pytest.raises(Unavailable, match="put the key of the search provider into it") as failure:
        store.open().search_api_key("tavily")
    assert "planted" not in str(failure.value.internal)


def test_a_value_is_read_once(store: SecretStore) -> None:
    store.put(store.arns.cursor, {"key": GOOD_KEY})
    with store.counting() as calls:
        for _ in range(5):
            store.secrets.key("cursor")
    assert calls == ["GetSecretValue"]


def test_reads_again_for_an_unknown_pepper_version(store: SecretStore) -> None:
    store.put(store.arns.pepper, {"current": 1, "peppers": {"1": GOOD_KEY}})
    store.secrets.peppers("api_key").current()
    store.put(store.arns.pepper, {"current": 2, "peppers": {"1": GOOD_KEY, "2": GOOD_KEY}})
    with store.counting() as calls:
        found = store.secrets.peppers("api_key").find(2)
        assert found
        assert found.version == 2
        assert [store.secrets.peppers("api_key").find(3) for _ in range(5)] == [None] * 5
        assert len(calls) == 1
        store.ticks.now += 30
        assert store.secrets.peppers("api_key").find(3) is None
        assert len(calls) == 2


def test_unknown_kids_cost_one_read_per_thirty_seconds(store: SecretStore) -> None:
    store.put(store.arns.signing, {"keys": [{"kid": "a", "private_key": "A"}]})
    store.secrets.signing_keys()
    with store.counting() as calls:
        assert [store.secrets.find_signing_key(f"made-up-{at}") for at in range(20)] == [None] * 20
    assert len(calls) == 1


def test_an_empty_secret_names_the_command_to_run(store: SecretStore) -> None:
    with pytest.raises(Unavailable) as caught:
        store.secrets.peppers("api_key").current()
    assert caught.value.internal == "the pepper secret has no value: run `make bootstrap`"
    assert "pepper" not in caught.value.detail


def test_a_function_without_a_secret(store: SecretStore) -> None:
    with pytest.raises(Unavailable, match="has no pepper secret"):
        store.open(PEPPER_SECRET_ARN="").peppers("api_key").current()


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
        store.secrets.peppers("api_key").current()
    assert "run `make bootstrap`" in caught.value.internal
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_errors_of_secrets_manager(store: SecretStore) -> None:
    store.put(store.arns.cursor, {"key": GOOD_KEY})

    def refuse(**_: object) -> None:
        raise ConnectionError("hush")

    store.secrets._provider.client.meta.events.register("before-call.secrets-manager", refuse)
    with pytest.raises(Unavailable) as caught:
        store.secrets.key("cursor")
    assert caught.value.internal == "the cursor secret cannot be read: ConnectionError"
    assert caught.value.retry_after_seconds == 1


def test_repr_does_not_show_values(store: SecretStore) -> None:
    store.put(store.arns.signing, {"keys": [{"kid": "a", "private_key": "hush"}]})
    store.put(store.arns.pepper, {"current": 1, "peppers": {"1": GOOD_KEY}})
    assert "hush" not in repr(store.secrets.signing_keys())
    assert "kkk" not in repr(store.secrets.peppers("api_key").current())


def test_no_two_purposes_have_the_same_key_and_a_derived_one_does_not_show_its_secret(store: SecretStore) -> None:
    for name in PURPOSES:
        store.put(getattr(store.arns, name), {"current": 1, "peppers": {"1": encode_base64url(name[0].encode() * 32)}})
    purposes = [purpose for each in PURPOSES.values() for purpose in each]
    values = {purpose: store.secrets.peppers(purpose).current().value for purpose in purposes}
    assert len(set(values.values())) == len(purposes)
    assert values.pop("api_key") == b"p" * 32
    assert not set(values.values()) & {name[0].encode() * 32 for name in PURPOSES}
    assert {len(value) for value in values.values()} == {32}


def test_a_version_that_was_removed_is_not_found_once_the_cache_is_over(store: SecretStore) -> None:
    store.put(store.arns.login, {"current": 2, "peppers": {"1": GOOD_KEY, "2": encode_base64url(b"n" * 32)}})
    assert store.secrets.peppers("refresh_token").find(1)
    store.put(store.arns.login, {"current": 2, "peppers": {"2": encode_base64url(b"n" * 32)}})
    assert store.open().peppers("refresh_token").find(1) is None


def test_secrets_without_values_are_named_without_reading_any(store: SecretStore) -> None:
    store.put(store.arns.cursor, {"key": GOOD_KEY})
    with store.counting() as calls:
        store.secrets.require_values("cursor")
        store.secrets.require_values("cursor")
        with pytest.raises(Unavailable) as caught:
            store.secrets.require_values("cursor", "login")
    assert caught.value.internal == "the login secret has no value: run `make bootstrap`"
    assert calls == ["DescribeSecret", "DescribeSecret"]
