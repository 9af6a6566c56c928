"""The selection of a deployment's model provider, and the requests that the provider sends."""

import base64
import json
import subprocess
import sys
from dataclasses import replace

import httpx2
import pytest
from anthropic import DefaultHttpxClient
from atrium.kernel.errors import ModelFailed, ProviderUnsupported, Unavailable, ValidationFailed
from atrium.llm.anthropic.provider import API_URL, keyed_client
from atrium.llm.catalogue import MODELS, ModelInfo
from atrium.llm.connection import make_http_client, shared_http_client
from atrium.llm.model import Completed, ModelProvider, Text, TextDelta, Usage
from atrium.llm.openai.provider import API_URLS
from atrium.llm.registry import FACTORIES, Providers
from atrium.settings import MODEL_VENDORS, Settings
from atrium.storage.secrets import Secrets

from tests.builders.bedrock import bedrock_over, frame, framed
from tests.builders.upstream import HELLO, START, STOP, opened, piece, reason

HAIKU = MODELS["claude-haiku-5-5"]


def providers(**environment: str) -> Providers:
    settings = Settings.read(environment)
    return Providers(settings, Secrets(settings))


def test_creates_a_provider_once() -> None:
    known = providers(ANTHROPIC_API_KEY="key")
    provider: ModelProvider = known.find(HAIKU)
    assert provider is known.find(MODELS["claude-opus-5-5"])
    assert provider.name == "anthropic"


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_model_of_the_catalogue_has_a_provider(model: ModelInfo) -> None:
    assert providers().find(model).name == model.vendor


def test_every_vendor_has_settings_and_an_adapter() -> None:
    assert set(FACTORIES) == set(MODEL_VENDORS) == {model.vendor for model in MODELS.values()}


def test_selects_bedrock_by_setting() -> None:
    assert providers(MODEL_PROVIDER="bedrock").find(HAIKU).name == "bedrock"


@pytest.mark.parametrize("vendor", MODEL_VENDORS)
def test_a_tenants_key_goes_to_the_vendors_api(vendor: str) -> None:
    known = providers(MODEL_PROVIDER="bedrock", **{f"{vendor.upper()}_API_KEY": "the key of the platform"})
    adapter = known.with_key(vendor, lambda: "the key of the tenant")
    client = adapter._wire.channel.client()  # type: ignore[attr-defined]  # the wire of each adapter has a channel
    assert (adapter.name, client.api_key) == (vendor, "the key of the tenant")
    assert str(client.base_url).removesuffix("/") in {API_URL, *API_URLS.values()}


def test_knows_for_which_vendors_the_platform_has_a_key() -> None:
    assert [vendor for vendor in MODEL_VENDORS if providers().has_key(vendor)] == []
    assert [vendor for vendor in MODEL_VENDORS if providers(ZHIPU_API_KEY="key").has_key(vendor)] == ["zhipu"]
    assert [vendor for vendor in MODEL_VENDORS if providers(MODEL_PROVIDER="bedrock").has_key(vendor)] == ["anthropic"]


@pytest.mark.usefixtures("aws")
def test_bedrock_has_no_keys_to_check() -> None:
    with pytest.raises(ProviderUnsupported):
        bedrock_over(lambda _request: httpx2.Response(200)).check_key()


def test_adapters_of_different_keys_share_one_http_client() -> None:
    assert shared_http_client(DefaultHttpxClient) is shared_http_client(DefaultHttpxClient)


def test_the_shared_client_keeps_no_cookies() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("cookie"))
        return httpx2.Response(200, headers={"set-cookie": "session=of-one-tenant"})

    seen: list[str | None] = []
    client = make_http_client(httpx2.Client, httpx2.MockTransport(answer))
    for _ in range(2):
        client.get("https://api.example/")
    assert seen == [None, None]


def test_rejects_a_vendor_without_provider() -> None:
    with pytest.raises(ProviderUnsupported):
        providers().find(replace(HAIKU, vendor="acme"))


def test_serves_the_models_of_vendors_with_a_key() -> None:
    known = providers(ZHIPU_API_KEY="key", MODEL_PROVIDER="anthropic")
    assert {model.vendor for model in MODELS.values() if known.serves(model)} == {"zhipu"}
    assert not known.serves(replace(HAIKU, vendor="acme"))


def test_bedrock_serves_its_models_without_a_key() -> None:
    known = providers(MODEL_PROVIDER="bedrock")
    assert known.serves(HAIKU)
    assert not known.serves(replace(HAIKU, bedrock_id=""))
    assert not known.serves(MODELS["gpt-6-luna"])


def test_a_missing_key_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        list(providers().find(HAIKU).open(HELLO, deadline_seconds=1))


def test_a_rotated_key_is_used_from_the_next_call_on() -> None:
    keys = ["first", "first", "second"]
    client = keyed_client("http://model.test", lambda: keys.pop(0))
    one, same, other = client(), client(), client()
    assert one is same
    assert (one.api_key, other.api_key) == ("first", "second")
    assert other.default_headers["x-api-key"] == "second"
    assert other.max_retries == 0


def test_each_call_without_a_key_is_counted() -> None:
    missing: list[str] = []
    settings = Settings.read({})
    known = Providers(settings, Secrets(settings), lambda: missing.append("once"))

    for _ in range(2):
        with pytest.raises(Unavailable):
            list(known.find(HAIKU).open(HELLO, deadline_seconds=1))

    assert missing == ["once", "once"]


@pytest.mark.parametrize(("module", "imported"), [("functions.chat.app", True), ("functions.sessions.app", False)])
def test_only_chat_imports_the_model_sdk_and_does_so_at_init(module: str, imported: bool) -> None:
    code = f"import sys, {module}; print('anthropic' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert shown.stdout.split() == [str(imported)]


def test_rejects_an_unsupported_request_before_the_call() -> None:
    with pytest.raises(ValidationFailed):
        providers().find(HAIKU).open(replace(HELLO, temperature=0.5), deadline_seconds=1)


@pytest.mark.usefixtures("aws")
def test_bedrock_is_asked_by_inference_profile_signed_with_the_role() -> None:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(403, json={"message": "You do not have access to the model."})

    with pytest.raises(ModelFailed):
        list(bedrock_over(handle).open(HELLO, deadline_seconds=5))

    (request,) = seen
    assert request.url.host == "bedrock-runtime.eu-central-1.amazonaws.com"
    assert request.url.path == "/model/eu.anthropic.claude-haiku-5-5/invoke-with-response-stream"
    assert "AKIDEXAMPLE" in request.headers["authorization"]
    assert "x-api-key" not in request.headers
    body = json.loads(request.content)
    assert body["max_tokens"] == 100
    assert body["anthropic_version"] == "2026-10-21"


@pytest.mark.usefixtures("aws")
def test_bedrock_streams_the_same_events() -> None:
    events = (START, opened(0, type="text", text=""), piece(0, "text_delta", text="Hi"), reason("end_turn"), STOP)
    answer = httpx2.Response(200, content=b"".join(frame(event) for event in events))

    assert list(bedrock_over(lambda _request: answer).open(HELLO, deadline_seconds=5)) == [
        TextDelta("Hi"),
        Completed((Text("Hi"),), "end_turn", Usage(9, 5)),
    ]


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    "wrong",
    [
        frame(START)[:-1] + b"x",
        b"x" * 100,
        *(framed(payload) for payload in (b"", b"{nonsense", b"[1]", b'{"bytes": 5}', b'{"bytes": null}', b"\xff")),
        *(framed(b'{"bytes": "%s"}' % base64.b64encode(event)) for event in (b"\xff", b"[" * 100_000)),
    ],
    ids=range(10),
)
def test_fails_on_an_undecodable_frame(wrong: bytes) -> None:
    answer = httpx2.Response(200, content=frame(START) + wrong)
    with pytest.raises(ModelFailed):
        list(bedrock_over(lambda _request: answer).open(HELLO, deadline_seconds=5))


@pytest.mark.usefixtures("aws")
def test_bedrock_does_not_count_tokens() -> None:
    provider = bedrock_over(lambda _request: httpx2.Response(500))
    with pytest.raises(ProviderUnsupported):
        provider.count_tokens(HELLO)
