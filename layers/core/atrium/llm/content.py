"""Images of messages and tool results: their validation, and their format in the API and in stored content.

An image is base64 in the request. Its first bytes must fit its media type, because a provider rejects every request of
a conversation that contains an image of another type.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from atrium.llm.model import Block, Image, ResultContent, Text, ToolResult

ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]

IMAGES_MAX = 10
IMAGE_BYTES_MAX = 750_000
"""Maximum size of the images of one message or tool result together. In base64, they fit into a request of 1 MiB."""
IMAGE_CHARACTERS_MAX = IMAGE_BYTES_MAX // 3 * 4
"""Maximum length of an image in base64."""
IMAGE_OMITTED = "[image omitted: this model does not accept images]"
OMITTED_BECAUSE = "[image omitted: it {}]"
IMAGE_BROKEN = OMITTED_BECAUSE.format("is not a valid image")

_SIGNATURES: Mapping[str, re.Pattern[bytes]] = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


def find_fault(media_type: str, data: str) -> str | None:
    """Return what is wrong with an image, as text that follows a field's name, or None if the image is valid."""
    if media_type not in _SIGNATURES:
        return f"must have one of the media types {', '.join(_SIGNATURES)}"
    if len(data) > IMAGE_CHARACTERS_MAX:
        return f"must have at most {IMAGE_BYTES_MAX} bytes"
    try:
        content = b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return "must be base64, without line breaks and without a prefix such as `data:`"
    if _SIGNATURES[media_type].match(content):
        return None
    actual = next((name for name, signature in _SIGNATURES.items() if signature.match(content)), None)
    return f"must be an image of the type {media_type}" + (f", but its bytes are {actual}" if actual else "")


def size_of(data: str) -> int:
    """Return the size in bytes of a valid image's file, which is given in base64."""
    return len(data) // 4 * 3 - data[-2:].count("=")


def encode_image(image: Image) -> dict[str, Any]:
    """Encode an image in the format of the API."""
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": image.media_type, "data": image.data},
    }


def decode_image(fields: Mapping[str, Any]) -> Image | None:
    """Decode a stored image. Return None if the image is not valid."""
    source = fields.get("source")
    media_type, data = (source.get("media_type"), source.get("data")) if isinstance(source, Mapping) else (None, None)
    if not isinstance(media_type, str) or not isinstance(data, str) or find_fault(media_type, data):
        return None
    return Image(media_type, data)


def encode_result(content: ResultContent) -> str | list[dict[str, Any]]:
    """Encode the content of a tool result in the format of the API."""
    if isinstance(content, str):
        return content
    return [
        encode_image(block) if isinstance(block, Image) else {"type": "text", "text": block.text} for block in content
    ]


def text_of(content: ResultContent) -> str:
    """Return the text of a tool result. A line break separates text blocks."""
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if isinstance(block, Text))


def has_images(blocks: Iterable[Block]) -> bool:
    """Return whether a message has images, also in its tool results."""
    parts = (block.content if isinstance(block, ToolResult) else (block,) for block in blocks)
    return any(isinstance(each, Image) for part in parts if not isinstance(part, str) for each in part)


def result_texts(blocks: Iterable[Block]) -> list[str]:
    """Return the texts of the tool results of a message."""
    return [text_of(block.content) for block in blocks if isinstance(block, ToolResult)]


def omit_images[Part: Block](blocks: Iterable[Part], text: str) -> tuple[Part | Text, ...]:
    """Return blocks with a text instead of each image, also in tool results."""
    kept: list[Part | Text] = []
    for block in blocks:
        if isinstance(block, ToolResult) and not isinstance(block.content, str):
            kept.append(replace(block, content=omit_images(block.content, text)))
        else:
            kept.append(Text(text) if isinstance(block, Image) else block)
    return tuple(kept)
