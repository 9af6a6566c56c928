"""Images in requests: accepted, counted and named in the answer. Invalid images and too many cache marks return 400."""

import httpx
import pytest
from pydantic import JsonValue

from infra.local.model_server.protocol import IMAGE_TOKENS
from tests.builders.images import FILES, image_block, text_block
from tests.unit.model_server.builders import MODEL, JsonObject, body

pytestmark = pytest.mark.loopback


def said(*blocks: JsonValue) -> JsonObject:
    return {"role": "user", "content": list(blocks)}


def answer_to(http: httpx.Client, *messages: JsonObject | str) -> str:
    response = http.post("/v1/messages", json=body(*messages))
    assert response.status_code == 200, response.text
    text = response.json()["content"][0]["text"]
    assert isinstance(text, str)
    return text


def refusal(http: httpx.Client, *messages: JsonObject | str) -> str:
    response = http.post("/v1/messages", json=body(*messages))
    assert response.status_code == 400
    message = response.json()["error"]["message"]
    assert isinstance(message, str)
    return message


@pytest.mark.parametrize("media_type", FILES)
def test_accepts_images_of_every_type(http: httpx.Client, media_type: str) -> None:
    message = said(text_block("Look."), image_block(media_type))
    assert answer_to(http, message) == "You said: “Look.” I was shown 1 message and 1 image."


def test_a_message_with_only_images_begins_a_turn(http: httpx.Client) -> None:
    answer: JsonObject = {"role": "assistant", "content": "Hello."}
    message = said(image_block(), image_block())
    assert answer_to(http, "[[echo]] Hello.", answer, message) == "You said: “” I was shown 3 messages and 2 images."


def test_counts_the_same_tokens_for_images_of_all_sizes(http: httpx.Client) -> None:
    def count(*blocks: JsonValue) -> int:
        sent = {"model": MODEL, "messages": [said(*blocks)]}
        return int(http.post("/v1/messages/count_tokens", json=sent).json()["input_tokens"])

    with_image = count(text_block("a"), image_block())
    assert count(text_block("a"), image_block(size=99_000)) == with_image
    assert 0 <= with_image - count(text_block("a")) - IMAGE_TOKENS < 50


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (image_block(data="?"), "image data is not valid base64"),
        (image_block(data=""), "at least 1 character"),
        (image_block("image/png", media_type="image/gif"), "does not match the media type image/gif"),
        (image_block(media_type="image/bmp"), "Input should be 'image/jpeg'"),
        ({"type": "image"}, "Field required"),
    ],
)
def test_refuses_invalid_images(http: httpx.Client, block: JsonValue, message: str) -> None:
    assert message in refusal(http, said(block))
    use: JsonObject = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]}
    result: JsonObject = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    assert message in refusal(http, "Go.", use, said(result))


def test_refuses_more_than_four_cache_marks(http: httpx.Client) -> None:
    marked: JsonObject = {**text_block("a"), "cache_control": {"type": "ephemeral"}}
    assert answer_to(http, said(*[marked] * 4))
    assert "A maximum of 4 blocks" in refusal(http, said(*[marked] * 5))
