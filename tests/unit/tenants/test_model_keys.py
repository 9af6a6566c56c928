"""Which API key a tenant's model calls use, and what is shown of a key."""

from datetime import timedelta

import pytest
from atrium.kernel.errors import ModelKeyRequired
from atrium.kernel.ids import TenantId
from atrium.settings import MODEL_VENDORS
from atrium.tenants.context import KeySource, KeyUse
from atrium.tenants.model_keys.model import KEY_CHARACTERS_MIN, ModelKey, purpose_of, shorten
from atrium.tenants.model_keys.opening import CACHED_SECONDS, KEYS_CACHED_MAX, OpenKey, OpenKeys

from tests.builders.gateway import TENANT_ID
from tests.builders.runtimes import NOON, TurnedClock
from tests.builders.scripted import ScriptedModel

TENANT = TenantId(TENANT_ID)


@pytest.mark.parametrize(
    ("own", "platform", "expected"),
    [((), True, "platform"), ((), False, None), (("openai",), True, "tenant"), (("openai",), False, "tenant")],
)
def test_the_tenants_key_comes_first(own: tuple[str, ...], platform: bool, expected: KeySource | None) -> None:
    use = KeyUse.of(own, {"platform_model_key": platform})
    assert use.source("openai") == expected
    if expected is None:
        with pytest.raises(ModelKeyRequired, match="PUT /v1/model-keys/openai"):
            use.require("openai")
    else:
        use.require("openai")


def test_the_platforms_key_may_be_used_by_default() -> None:
    assert KeyUse.of((), {}) == KeyUse(frozenset(), platform=True)


def test_at_most_half_of_a_key_is_shown() -> None:
    key = "".join(chr(ord("a") + at) for at in range(KEY_CHARACTERS_MIN))
    assert shorten(key) == "abcdefg…qrst"
    assert len(shorten(key)) - 1 < 0.6 * KEY_CHARACTERS_MIN


def test_each_provider_has_a_purpose() -> None:
    assert len({purpose_of(provider) for provider in MODEL_VENDORS}) == len(MODEL_VENDORS)


def test_the_representation_of_a_key_does_not_show_its_ciphertext() -> None:
    assert "cipher" not in repr(make_open().key)


def make_open() -> OpenKey:
    key = ModelKey("openai", "sk-…", b"ciphertext", 1, NOON, NOON, NOON)
    return OpenKey(key, ScriptedModel(), is_rejected=False)


def test_open_keys_are_cached_by_tenant_provider_and_version_for_a_few_minutes() -> None:
    clock = TurnedClock()
    opened, cache = list[OpenKey](), OpenKeys(clock)

    def open_key() -> OpenKey:
        opened.append(make_open())
        return opened[-1]

    other = TenantId(TENANT_ID[:-1] + "c")
    places = [(TENANT, "openai", 1), (other, "openai", 1), (TENANT, "zhipu", 1), (TENANT, "openai", 2)]
    first = [cache.get(place, open_key) for place in places]
    assert len({id(each) for each in first}) == 4
    assert [cache.get(place, open_key) for place in places] == first
    assert len(opened) == 4
    clock.now += timedelta(seconds=CACHED_SECONDS)
    assert cache.get(places[0], open_key) is not first[0]


def test_the_cache_is_bounded() -> None:
    cache = OpenKeys(TurnedClock())
    for version in range(KEYS_CACHED_MAX + 10):
        cache.get((TENANT, "openai", version), make_open)
    assert len(cache._cache) == KEYS_CACHED_MAX
