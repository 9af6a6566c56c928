"""Small images of every media type, as blocks of the model and as blocks of the API."""

from base64 import b64decode, b64encode
from typing import Any

from atrium.llm.model import Image

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""One pixel."""
FILES: dict[str, bytes] = {
    "image/png": b64decode(PNG),
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
    "image/webp": b"RIFF\x1a\n\x00\x00WEBPVP8L",
}


def image(media_type: str = "image/png", *, size: int = 0) -> Image:
    """Return an image. With `size`, its file has this number of bytes, which are not compressible."""
    start = FILES[media_type]
    filler = b"".join((number * 2_654_435_761 % 2**32).to_bytes(4, "big") for number in range(size // 4 + 1))
    return Image(media_type, b64encode(start + filler[: max(0, size - len(start))]).decode())


def image_block(kind: str = "image/png", *, size: int = 0, **source: Any) -> dict[str, Any]:
    """Return an image block of a request. `source` are other fields of its source."""
    made = image(kind, size=size)
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": made.media_type, "data": made.data, **source},
    }


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
