"""Field types that several request bodies use: names, titles and email addresses.

An optional text may be missing, null or empty. All three have the same meaning, and responses contain null.
"""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from atrium.identity.users.model import EMAIL_MAX, EMAIL_PATTERN
from atrium.kernel.errors import named_pattern
from atrium.kernel.texts import find_fault

_Text = TypeVar("_Text")

NAME_MAX = 100
DISPLAY_NAME_MAX = 200
TITLE_MAX = 255
END_USER_MAX = 128
NOT_BLANK = named_pattern(r"\S", "must not be blank")


def _check_line(text: str) -> str:
    fault = find_fault(text)
    if fault is not None:
        raise ValueError(fault)
    return text


def _check_without_hash(text: str) -> str:
    if "#" in text:
        raise ValueError("must not contain `#`")
    return text


def _read_empty(value: object) -> object:
    """Return None for an empty string, and any other value unchanged."""
    return None if value == "" else value


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX), AfterValidator(_check_line)]
"""The name of an object."""

UniqueName = Annotated[Name, AfterValidator(_check_without_hash)]
"""A name that can be used instead of an id."""

DisplayName = Annotated[str, Field(min_length=1, max_length=DISPLAY_NAME_MAX), AfterValidator(_check_line)]
Title = Annotated[str, Field(max_length=TITLE_MAX), AfterValidator(_check_line)]
EndUser = Annotated[str, Field(max_length=END_USER_MAX), AfterValidator(_check_line)]

Email = Annotated[str, Field(max_length=EMAIL_MAX, pattern=EMAIL_PATTERN), BeforeValidator(_strip)]
"""The email address of a user. Surrounding spaces are removed."""

OrNone = Annotated[_Text | None, BeforeValidator(_read_empty)]
"""An optional text; an empty text is read as None."""
