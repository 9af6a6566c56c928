"""Images: which are valid, their format in the API, and their omission for models that do not accept images."""

from base64 import b64encode

import pytest
from atrium.llm.content import (
    IMAGE_BYTES_MAX,
    IMAGE_OMITTED,
    decode_image,
    encode_image,
    encode_result,
    find_fault,
    omit_images,
    size_of,
    text_of,
)
from atrium.llm.model import Image, Text, ToolResult

from tests.builders.images import FILES, PNG, image


@pytest.mark.parametrize("media_type", FILES)
def test_accepts_an_image_only_under_its_own_type(media_type: str) -> None:
    data = image(media_type).data
    assert find_fault(media_type, data) is None
    for other in FILES.keys() - {media_type}:
        assert find_fault(other, data) == f"must be an image of the type {other}, but its bytes are {media_type}"


@pytest.mark.parametrize(
    ("media_type", "data", "fault"),
    [
        ("image/svg+xml", PNG, "must have one of the media types image/png, image/jpeg, image/gif, image/webp"),
        ("image/png", "", "must be an image of the type image/png"),
        ("image/png", b64encode(b"<html>").decode(), "must be an image of the type image/png"),
        ("image/png", PNG[:-1], "must be base64, "),
        ("image/png", PNG[:8] + "\n" + PNG[8:], "must be base64, "),
        ("image/png", "data:image/png;base64," + PNG, "must be base64, "),
        ("image/png", PNG.replace("+", "-") + "é", "must be base64, "),
        ("image/png", image(size=IMAGE_BYTES_MAX + 1).data, "must have at most 750000 bytes"),
    ],
)
def test_says_what_is_wrong_with_an_image(media_type: str, data: str, fault: str) -> None:
    assert (find_fault(media_type, data) or "").startswith(fault)


@pytest.mark.parametrize("size", [67, 68, 69, IMAGE_BYTES_MAX])
def test_knows_the_size_of_a_file(size: int) -> None:
    made = image(size=max(size, len(FILES["image/png"])))
    assert find_fault(made.media_type, made.data) is None
    assert size_of(made.data) == max(size, len(FILES["image/png"]))


def test_reads_back_what_it_encodes() -> None:
    assert decode_image(encode_image(image("image/webp"))) == image("image/webp")


@pytest.mark.parametrize(
    "source", [None, 5, {}, {"media_type": "image/png"}, {"media_type": ["image/png"], "data": PNG},
    {"media_type": "image/gif", "data": PNG}],
)  # fmt: skip
def test_does_not_read_an_invalid_image(source: object) -> None:
    assert decode_image({"source": source}) is None


def test_shows_a_result_as_the_api_does_and_as_text() -> None:
    blocks = (Text("a"), image(), Text("b"))
    assert encode_result(blocks) == [
        {"type": "text", "text": "a"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "text", "text": "b"},
    ]
    assert (text_of(blocks), text_of("c"), encode_result("c")) == ("a\nb", "c", "c")


def test_replaces_images_for_a_model_that_accepts_none() -> None:
    blocks = (Text("What is it?"), image(), ToolResult("t", (image(), Text("A plot."))), ToolResult("u", "1"))
    omitted = Text(IMAGE_OMITTED)
    results = (ToolResult("t", (omitted, Text("A plot."))), ToolResult("u", "1"))
    assert omit_images(blocks, IMAGE_OMITTED) == (Text("What is it?"), omitted, *results)


def test_the_data_of_an_image_is_not_in_its_representation() -> None:
    assert PNG not in repr(Image("image/png", PNG))
