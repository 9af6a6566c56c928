"""Images end to end: through the gateway, the chat function and the model server, and back from the session."""

from typing import Any

from tests.builders.images import image_block, text_block
from tests.e2e.conftest import Stack, Tenant

LARGE = image_block("image/jpeg", size=600_000)


def _chat(tenant: Tenant, *blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = tenant.http.post("/v1/chat", json={"message": list(blocks), **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _requests(stack: Stack) -> list[dict[str, Any]]:
    """Return the requests that the model server received, oldest first."""
    with stack.model as model:
        found: list[dict[str, Any]] = model.get("/__requests").json()["requests"]
    return found


def test_the_model_sees_an_image_in_its_turn_and_in_the_next_one(stack: Stack, pro: Tenant) -> None:
    first = _chat(pro, image_block(), text_block("What is it? [[thinking=A pixel.]] [[tool=current_time]]"))
    assert (first["iterations"], first["usage"]["tool_calls"]) == (2, 1)
    second = _chat(pro, text_block("And its colour?"), session_id=first["session_id"])
    sent = _requests(stack)[-1]
    assert sent["status"] == 200
    assert sent["body"]["messages"][0]["content"][0]["source"] == image_block()["source"]

    messages = pro.http.get(f"/v1/sessions/{second['session_id']}/messages").json()["data"]
    assert messages[0]["content"][0] == image_block()
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user", "assistant"]


def test_a_large_image_passes_the_gateway_and_is_stored(pro: Tenant) -> None:
    body = _chat(pro, LARGE)
    assert body["response"].endswith("1 image.")
    assert body["usage"]["input_tokens"] >= 1_600
    (asked, _) = pro.http.get(f"/v1/sessions/{body['session_id']}/messages").json()["data"]
    assert asked["content"] == [LARGE]


def test_a_wrong_image_is_rejected_before_the_model_is_called(stack: Stack, pro: Tenant) -> None:
    before = len(_requests(stack))
    answer = pro.http.post("/v1/chat/stream", json={"message": [image_block("image/png", media_type="image/webp")]})
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert "must be an image of the type image/webp" in answer.json()["errors"][0]["msg"]
    assert len(_requests(stack)) == before
