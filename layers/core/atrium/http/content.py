"""Text and image blocks in requests and responses."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from atrium.http.models import StrictModel
from atrium.llm.content import IMAGE_CHARACTERS_MAX, ImageType, find_fault


class TextBlock(StrictModel):
    """A content block with text."""

    type: Literal["text"]
    """Type of the block."""
    text: str
    """The text."""


class ImageSource(StrictModel):
    """An image file in base64."""

    type: Literal["base64"]
    """How the file is sent: `base64`."""
    media_type: ImageType
    """Type of the file: `image/png`, `image/jpeg`, `image/gif` or `image/webp`."""
    data: Annotated[str, Field(max_length=IMAGE_CHARACTERS_MAX)]
    """The file in base64, without line breaks. Its first bytes must be those of the type in `media_type`."""

    @model_validator(mode="after")
    def _check_file(self) -> Self:
        fault = find_fault(self.media_type, self.data)
        if fault:
            raise ValueError(fault)
        return self


class ImageBlock(StrictModel):
    """A content block with an image."""

    type: Literal["image"]
    """Type of the block."""
    source: ImageSource
    """The image."""


TextOrImage = Annotated[TextBlock | ImageBlock, Field(discriminator="type")]
