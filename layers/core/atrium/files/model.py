"""A file, the rules for its path, its limits, and the lines of a text file."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, NewType, Self

from pydantic import AfterValidator, Field

from atrium.kernel.ids import FileContentId, mint_file_content_id
from atrium.kernel.texts import find_fault

FILE_BYTES_MAX = 700_000
"""Maximum size of a file. In base64, it fits into a request of 1 MiB."""
FILES_MAX = 10_000
PATH_CHARACTERS_MAX = 512
PATH_BYTES_MAX = 1_000
"""Maximum size of a path in UTF-8. A sort key of the table has at most 1,024 bytes."""
LINES_DEFAULT = 500
LINES_MAX = 5_000
PAGE_CHARACTERS_MAX = 40_000
TEXT_TYPE = "text/plain"
BINARY_TYPE = "application/octet-stream"

FilePath = NewType("FilePath", str)
"""A path that `read_path` returned."""


def read_path(text: str) -> FilePath:
    """Return the normalised path: NFC, without a leading `/`. Raise `ValueError` for an invalid path."""
    if len(text) > PATH_CHARACTERS_MAX:
        raise ValueError(f"must have at most {PATH_CHARACTERS_MAX} characters")
    path = unicodedata.normalize("NFC", text).removeprefix("/")
    for segment in path.split("/"):
        if segment in {"", ".", ".."}:
            raise ValueError("must not contain an empty segment, `.` or `..`; write a path such as `notes/todo.txt`")
        if "\\" in segment:
            raise ValueError("must not contain a backslash; separate segments with `/`")
        if fault := find_fault(segment):
            raise ValueError(f"each segment {fault}")
    if len(path) > PATH_CHARACTERS_MAX or len(path.encode()) > PATH_BYTES_MAX:
        raise ValueError(f"must have at most {PATH_CHARACTERS_MAX} characters and {PATH_BYTES_MAX} bytes in UTF-8")
    return FilePath(path)


def read_prefix(text: str) -> str:
    """Return a prefix of paths in normalised form. It may end within a segment. Raise `ValueError` if too long."""
    prefix = unicodedata.normalize("NFC", text).removeprefix("/")
    if len(prefix.encode(errors="replace")) > PATH_BYTES_MAX:
        raise ValueError(f"must have at most {PATH_BYTES_MAX} bytes in UTF-8")
    return prefix


PathField = Annotated[FilePath, AfterValidator(read_path), Field(min_length=1, max_length=PATH_CHARACTERS_MAX)]
PrefixField = Annotated[str, AfterValidator(read_prefix), Field(max_length=PATH_CHARACTERS_MAX)]


@dataclass(frozen=True, slots=True)
class File:
    """A file without its content. `content_id` names the blob; `created_by` is the id of a user, API key or client."""

    path: FilePath
    content_id: FileContentId
    content_type: str
    size_bytes: int
    sha256: str
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def reference(self) -> str:
        """Return the reference of the blob with the content."""
        return f"files/{self.content_id}"


@dataclass(frozen=True, slots=True)
class Content:
    """Content to write to a file."""

    data: bytes
    type: str


def make_file(path: FilePath, content: Content, created_by: str, now: datetime) -> File:
    """Return a new file, whose content is not yet stored."""
    digest = sha256(content.data).hexdigest()
    return File(path, mint_file_content_id(now), content.type, len(content.data), digest, created_by, now, now)


def read_text(data: bytes) -> str | None:
    """Return the content of a text file (UTF-8), or None for other content."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class LinePage:
    """Lines of a text, each with its number and a tab. `next_offset` is None if no line follows."""

    text: str
    total: int
    next_offset: int | None

    @classmethod
    def read(cls, text: str, offset: int, limit: int) -> Self:
        """Return up to `limit` lines from line `offset` (from 1), as many as fit into `PAGE_CHARACTERS_MAX`.

        A line that does not fit into a page is cut.
        """
        lines = text.removesuffix("\n").split("\n") if text else []
        shown: list[str] = []
        length = 0
        for number, line in enumerate(lines[offset - 1 : offset - 1 + limit], offset):
            numbered = f"{number}\t{line}"[:PAGE_CHARACTERS_MAX]
            length += len(numbered) + 1
            if shown and length > PAGE_CHARACTERS_MAX:
                break
            shown.append(numbered)
        following = offset + len(shown)
        return cls("\n".join(shown), len(lines), following if following <= len(lines) else None)
