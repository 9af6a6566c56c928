"""Turns with the tenant's own model keys: which key a call uses, rejected keys, circuits, and the ledger."""

import json
import logging
import zlib
from contextlib import suppress
from typing import Any

import pytest
from atrium.kernel.ids import RunId
from atrium.llm.resilience import CircuitBreaker
from atrium.storage import keys
from atrium.storage.table import PlatformTable
from atrium.storage.writes import EXISTS, Update
from atrium.tenants.model_keys.model import Rejection
from atrium.tenants.model_keys.store import ModelKeyStore
from atrium.usage.model import Arrival, SumKey
from atrium.usage.sums import SumStore, day_of

from tests.builders.api_env import OTHER_TENANT, ApiEnv, assert_problem, say, stream
from tests.builders.tenant_env import TENANT
from tests.integration.chat.test_approvals import Desk
from tests.integration.tools_model_keys.conftest import KEY, OTHER_KEY, key_ends, put_key

pytestmark = pytest.mark.loopback
MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna", "zhipu": "glm-5.3-flash"}
OURS, THEIRS = "ests", "abcd"


def ask(api_env: ApiEnv, message: str = "Hi", **body: Any) -> dict[str, Any]:
    answer = say(api_env.chat_as(), message, **body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def settle_on(api_env: ApiEnv, *, platform_model_key: bool) -> None:
    answer = api_env.admin_as().patch("/v1/settings", json={"platform_model_key": platform_model_key})
    assert answer.json()["platform_model_key"] is platform_model_key


def forbid_the_platform(api_env: ApiEnv) -> None:
    settle_on(api_env, platform_model_key=False)


def models(api_env: ApiEnv) -> dict[str, str]:
    return {each["id"]: each["key"] for each in api_env.chat_as().get("/v1/models").json()["data"]}


@pytest.mark.parametrize(("provider", "model"), MODELS.items())
def test_a_turn_uses_the_tenants_key_for_its_provider_only(api_env: ApiEnv, provider: str, model: str) -> None:
    put_key(api_env, provider)
    ask(api_env, model=model)
    other = next(name for name in MODELS if name != provider)
    ask(api_env, model=MODELS[other])
    assert key_ends(api_env) == [THEIRS, OURS]


def test_a_tenant_does_not_use_the_key_of_another(api_env: ApiEnv) -> None:
    put_key(api_env)
    assert say(api_env.chat_as(OTHER_TENANT), "Hi").status_code == 200
    assert key_ends(api_env) == [OURS]


def test_a_change_holds_from_the_next_turn_on(api_env: ApiEnv) -> None:
    ask(api_env)
    put_key(api_env)
    ask(api_env)
    put_key(api_env, key=OTHER_KEY)
    ask(api_env)
    api_env.tools_as().delete("/v1/model-keys/anthropic")
    ask(api_env)
    assert key_ends(api_env) == [OURS, THEIRS, "wxyz", OURS]


def test_a_key_is_decrypted_once_per_container_and_version(api_env: ApiEnv) -> None:
    put_key(api_env)
    ask(api_env)
    calls: list[str] = []
    master = api_env.runtime.secret_master_key.client
    master.meta.events.register("before-call.kms.Decrypt", lambda **_: calls.append("Decrypt"))
    ask(api_env)
    assert calls == []
    api_env.tenant_env.clock.advance(200)
    ask(api_env)
    assert calls == ["Decrypt"]


def test_a_tenant_without_keys_makes_no_more_calls(api_env: ApiEnv) -> None:
    """The key of the other tenant must not be read either."""
    read: list[str] = []
    client = api_env.tenant_env.physical.client
    client.meta.events.register("before-call.dynamodb.*", lambda params, **_: read.append(str(params["body"])))
    ask(api_env)
    assert read
    assert not [body for body in read if "MODEL_KEY" in body]


def test_403_before_admission_if_no_key_may_be_used(api_env: ApiEnv) -> None:
    put_key(api_env, "openai")
    forbid_the_platform(api_env)
    body = assert_problem(say(api_env.chat_as(), "Hi"), 403, "MODEL_KEY_REQUIRED")
    assert "PUT /v1/model-keys/anthropic" in body["detail"]
    assert_problem(api_env.chat_as().post("/v1/limits/check", json={"message": "Hi"}), 403, "MODEL_KEY_REQUIRED")
    assert api_env.chat_as().get("/v1/runs").json()["data"] == []
    assert key_ends(api_env) == []
    ask(api_env, model="gpt-6-luna")
    settle_on(api_env, platform_model_key=True)
    ask(api_env)
    assert key_ends(api_env) == [THEIRS, OURS]


def test_a_fallback_model_without_a_key_is_not_called(api_env: ApiEnv) -> None:
    agent = api_env.admin_as().post(
        "/v1/agents", json={"name": "careful", "model": "claude-haiku-5-5", "fallback_models": ["gpt-6-luna"]}
    )
    put_key(api_env)
    forbid_the_platform(api_env)
    failing = {"agent_id": agent.json()["id"], "message": "[[status=500]]"}
    assert api_env.chat_as().post("/v1/chat", json=failing).status_code == 502
    assert set(key_ends(api_env)) == {THEIRS}


def test_models_show_whose_key_is_used(api_env: ApiEnv) -> None:
    assert set(models(api_env).values()) == {"platform"}
    put_key(api_env, "openai")
    shown = models(api_env)
    assert {model for model, key in shown.items() if key == "tenant"} == {"gpt-6-luna", "gpt-6-sol"}
    assert shown["claude-haiku-5-5"] == "platform"
    forbid_the_platform(api_env)
    assert models(api_env) == {"gpt-6-luna": "tenant", "gpt-6-sol": "tenant"}


def test_models_leave_out_providers_for_which_the_platform_has_no_key(
    api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api_env.runtime.settings.model_api_keys, "openai", "")
    assert not [model for model in models(api_env) if model.startswith("gpt")]
    put_key(api_env, "openai")
    assert models(api_env)["gpt-6-luna"] == "tenant"


@pytest.mark.parametrize("status", [401, 403])
def test_502_for_a_key_that_is_rejected_in_a_turn(api_env: ApiEnv, status: int) -> None:
    put_key(api_env)
    body = assert_problem(say(api_env.chat_as(), f"[[status={status}]]"), 502, "MODEL_KEY_REJECTED")
    assert body["retryable"] is False
    assert "PUT /v1/model-keys/{provider}" in body["detail"]
    run = api_env.chat_as().get(f"/v1/runs/{body['run_id']}").json()
    assert (run["status"], run["error"]["code"]) == ("failed", "MODEL_KEY_REJECTED")
    assert key_ends(api_env) == [THEIRS], "neither a retry nor the platform's key"
    (key,) = api_env.tools_as().get("/v1/model-keys").json()["data"]
    assert (key["status"], key["last_error"]["provider_status"]) == ("rejected", status)
    assert key["last_error"]["model"] == "claude-haiku-5-5"


def test_a_stream_ends_with_the_error_of_a_rejected_key(api_env: ApiEnv) -> None:
    put_key(api_env)
    last = stream(api_env.chat_as(), "[[status=401]]")[-1]
    assert (last.event, last.data["code"], last.data["retryable"]) == ("error", "MODEL_KEY_REJECTED", False)


def test_a_rejection_is_recorded_once_until_the_key_is_set_again(api_env: ApiEnv) -> None:
    put_key(api_env)
    writes: list[str] = []
    client = api_env.tenant_env.physical.client
    client.meta.events.register("before-call.dynamodb.UpdateItem", lambda params, **_: writes.append(str(params)))
    for _ in range(3):
        say(api_env.chat_as(), "[[status=401]]")
    api_env.runtime.open_model_keys._cache.clear()  # another container
    say(api_env.chat_as(), "[[status=401]]")
    assert len([each for each in writes if "MODEL_KEY#" in each]) == 1
    put_key(api_env)
    assert api_env.tools_as().get("/v1/model-keys").json()["data"][0]["status"] == "valid"
    say(api_env.chat_as(), "[[status=403]]")
    assert api_env.tools_as().get("/v1/model-keys").json()["data"][0]["last_error"]["provider_status"] == 403


def test_a_late_rejection_does_not_concern_a_new_key(api_env: ApiEnv) -> None:
    put_key(api_env)
    store = ModelKeyStore(api_env.tenant_env.table())
    (old,) = store.list()
    api_env.tools_as().delete("/v1/model-keys/anthropic")
    api_env.tenant_env.clock.advance(1)
    put_key(api_env, key=OTHER_KEY)
    store.note_rejection(old, Rejection(401, MODELS["anthropic"], api_env.tenant_env.clock()))
    assert [key.status for key in store.list()] == ["valid"]


def test_a_rejected_key_has_no_fallback_model(api_env: ApiEnv) -> None:
    agent = api_env.admin_as().post(
        "/v1/agents",
        json={
            "name": "careful", "model": "claude-haiku-5-5", "fallback_models": ["gpt-6-luna"], "fallback_text": "Sorry",
        },
    )  # fmt: skip
    put_key(api_env)
    answer = say(api_env.chat_as(), "[[status=401]]", agent_id=agent.json()["id"])
    assert_problem(answer, 502, "MODEL_KEY_REJECTED")


def test_a_rejected_key_of_the_platform_is_not_the_tenants_fault(api_env: ApiEnv) -> None:
    assert_problem(say(api_env.chat_as(), "[[status=401]]"), 502, "MODEL_FAILED")


def circuit(api_env: ApiEnv, name: str) -> int:
    breaker = CircuitBreaker(PlatformTable(api_env.tenant_env.physical), api_env.tenant_env.clock)
    return breaker._read(name).outages


def test_failures_with_a_key_of_a_tenant_do_not_count_for_others(api_env: ApiEnv) -> None:
    put_key(api_env)
    for message in ("[[status=401]]", "[[status=429]] [[times=1]]", "[[status=500]]"):
        say(api_env.chat_as(), message)
    assert circuit(api_env, "claude-haiku-5-5") == 0
    assert circuit(api_env, f"{TENANT}|claude-haiku-5-5") == 1
    assert say(api_env.chat_as(OTHER_TENANT), "Hi").status_code == 200


def test_a_key_that_cannot_be_decrypted_must_be_set_again(api_env: ApiEnv) -> None:
    put_key(api_env)
    put_key(api_env, "openai")
    table = api_env.tenant_env.table()
    moved = (table.get(keys.model_key("openai")) or {})["encrypted"]
    table.write(Update(keys.model_key("anthropic"), "SET #encrypted = :moved", EXISTS, {"moved": moved}))
    body = assert_problem(say(api_env.chat_as(), "Hi"), 502, "MODEL_KEY_REJECTED")
    assert "set it again" in body["detail"]
    assert key_ends(api_env) == []


def test_the_ledger_and_the_usage_show_the_tenants_own_key(api_env: ApiEnv) -> None:
    put_key(api_env)
    entries = [
        api_env.tenant_env.entry_of(RunId(ask(api_env, model=model)["run_id"]))
        for model in ("claude-haiku-5-5", "gpt-6-luna")
    ]
    assert [entry.own_key for entry in entries] == [True, False]
    assert all(entry.cost_nanos > 0 for entry in entries)
    sums = SumStore(api_env.tenant_env.table())
    sums.count([Arrival(entry, f"{at:021}") for at, entry in enumerate(entries)])
    total = SumKey(day_of(entries[0]), "TOTAL")
    found = sums.read([total])[total]
    assert found.own_key_cost_nanos == entries[0].cost_nanos
    assert found.cost_nanos == entries[0].cost_nanos + entries[1].cost_nanos


def test_the_key_is_nowhere_in_answers_logs_and_stored_items(
    api_env: ApiEnv, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="atrium"):
        put_key(api_env)
        told = [api_env.tools_as().get("/v1/model-keys").text]
        for message in ("Hi", "[[status=401]]", "[[status=500]]", "[[overload_midstream]]"):
            told.append(say(api_env.chat_as(), message).text)
        told += [json.dumps(event.data) for event in stream(api_env.chat_as(), "[[status=403]]")]
        told += [api_env.chat_as().get("/v1/runs").text, api_env.admin_as().get("/v1/audit").text]
    scanned = api_env.tenant_env.physical.client.scan(TableName=api_env.tenant_env.physical.name)["Items"]
    entries = [api_env.tenant_env.entry_of(run["id"]) for run in json.loads(told[-2])["data"]]
    everything = "".join([*told, str(scanned), str(entries), caplog.text, *capsys.readouterr()])
    assert "MODEL_KEY_REJECTED" in everything
    assert KEY not in everything
    assert KEY.encode() not in b"".join(_bytes_of(scanned))


def _bytes_of(value: object) -> list[bytes]:
    if isinstance(value, dict):
        return [found for each in value.values() for found in _bytes_of(each)]
    if isinstance(value, list):
        return [found for each in value for found in _bytes_of(each)]
    return [value, *_unpacked(value)] if isinstance(value, bytes) else []


def _unpacked(value: bytes) -> list[bytes]:
    with suppress(zlib.error):
        return [zlib.decompress(value)]
    return []


def test_a_run_that_is_resumed_uses_the_tenants_key(api_env: ApiEnv) -> None:
    desk = Desk(api_env)
    put_key(api_env)
    paused = desk.ask()
    assert desk.decide(paused, {"decision": "approve"}).status_code == 200
    put_key(api_env, key=OTHER_KEY)
    desk.work()
    assert desk.run(paused)["status"] == "succeeded"
    assert key_ends(api_env) == [THEIRS, "wxyz"]
    assert api_env.tenant_env.entry_of(RunId(paused["run_id"])).own_key


def test_a_run_whose_key_was_deleted_is_not_resumed_with_a_key_that_may_not_be_used(api_env: ApiEnv) -> None:
    desk = Desk(api_env)
    put_key(api_env)
    forbid_the_platform(api_env)
    paused = desk.ask()
    assert desk.decide(paused, {"decision": "approve"}).status_code == 200
    assert api_env.tools_as().delete("/v1/model-keys/anthropic").status_code == 204
    desk.work()
    ended = desk.run(paused)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "MODEL_KEY_REQUIRED")
    assert key_ends(api_env) == [THEIRS]
