"""The tools `file_list`, `file_read`, `file_write` and `file_delete`, which use the files of the caller's tenant."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from atrium.files.model import (
    FILE_BYTES_MAX,
    LINES_DEFAULT,
    LINES_MAX,
    TEXT_TYPE,
    Content,
    LinePage,
    PathField,
    PrefixField,
    read_text,
)
from atrium.files.service import FileService
from atrium.files.store import FileStore
from atrium.kernel.errors import AtriumError
from atrium.kernel.pagination import LIMIT_MAX, PageRequest
from atrium.storage import keys
from atrium.tools.declaration import tool
from atrium.tools.model import ToolContext, ToolRetry

type _Path = Annotated[PathField, Field(description="The path of the file, such as `notes/todo.txt`.")]


def _call[Result](context: ToolContext, use: Callable[[FileService], Result]) -> Result:
    """Use the files. The model receives the public text of an error. The tool guard has audited the call."""
    services = context.require_services()
    store = FileStore(services.table)
    try:
        return use(FileService(services.caller, store, services.blobs, context.clock))
    except AtriumError as error:
        raise ToolRetry(error.detail) from error


def _list(
    context: ToolContext,
    prefix: Annotated[PrefixField, Field(description="List only paths that begin with this text.")] = "",
    after: Annotated[PrefixField, Field(description="List only paths that follow this path in the order.")] = "",
) -> str:
    if after and not after.startswith(prefix):
        raise ToolRetry("`after` must begin with `prefix`. Send the last path of the previous list.")
    position = {"pk": keys.FILES, "sk": after} if after else None
    page = _call(context, lambda files: files.list(prefix, PageRequest(LIMIT_MAX, position)))
    lines = [f"{file.path} ({file.size_bytes} bytes, {file.content_type})" for file in page.items]
    if page.position is not None:
        lines.append(f"[More files follow. Continue with `after`: {page.items[-1].path}]")
    return "\n".join(lines) or "[There are no files.]"


def _read(
    path: _Path,
    context: ToolContext,
    offset: Annotated[int, Field(ge=1, description="The number of the first line to read, from 1.")] = 1,
    limit: Annotated[int, Field(ge=1, le=LINES_MAX, description="How many lines to read at most.")] = LINES_DEFAULT,
) -> str:
    file, data = _call(context, lambda files: files.read(path))
    text = read_text(data)
    if text is None:
        raise ToolRetry(f"The file is not text. It has {file.size_bytes} bytes of the type {file.content_type}.")
    lines = LinePage.read(text, offset, limit)
    if lines.next_offset is not None:
        return f"{lines.text}\n[The file has {lines.total} lines. Continue with `offset`: {lines.next_offset}]"
    return lines.text or f"[The file has {lines.total} lines; none at this offset.]"


def _write(
    path: _Path,
    content: Annotated[
        str,
        Field(max_length=FILE_BYTES_MAX, description="The whole new content, which replaces the old content."),
    ],
    context: ToolContext,
) -> str:
    file = _call(context, lambda files: files.write(path, Content(content.encode(), TEXT_TYPE)))
    return f"Wrote {file.size_bytes} bytes to {file.path}."


def _delete(path: _Path, context: ToolContext) -> str:
    _call(context, lambda files: files.delete(path))
    return f"Deleted {path}."


FILE_LIST = tool(
    "List the files of the organisation, sorted by path, with their sizes.",
    name="file_list",
    category="files",
    effect="pure",
)(_list)
FILE_READ = tool(
    "Read lines of a text file of the organisation. Each line begins with its number and a tab, which are not part of "
    "the file.",
    name="file_read",
    category="file_read",
    effect="pure",
)(_read)
FILE_WRITE = tool(
    "Write a text file of the organisation: create it, or replace its whole content.",
    name="file_write",
    category="files",
    permission="write",
    effect="idempotent",
)(_write)
FILE_DELETE = tool(
    "Delete a file of the organisation.",
    name="file_delete",
    category="files",
    permission="write",
    effect="idempotent",
)(_delete)
