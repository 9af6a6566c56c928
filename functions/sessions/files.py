"""`/v1/files`: the files of the tenant."""

import binascii
from base64 import b64decode, b64encode
from typing import Annotated, Self
from urllib.parse import quote

from atrium.bootstrap import Runtime
from atrium.files.model import (
    BINARY_TYPE,
    FILE_BYTES_MAX,
    LINES_DEFAULT,
    LINES_MAX,
    TEXT_TYPE,
    Content,
    File,
    LinePage,
    PathField,
    PrefixField,
    read_text,
)
from atrium.files.service import ABSENT, FileService
from atrium.files.store import FileStore
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, StrictModel, read_decimal_text
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.kernel.errors import invalid_field, named_pattern
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator, Field, model_validator

router = APIRouter(tags=["files"], route_class=IdempotentRoute)
_READ, _WRITE = [require("sessions:read")], [require("sessions:write")]
_NAME = r"[a-z0-9!#$&^_.+-]+"
_TYPE = named_pattern(
    f"^{_NAME}/{_NAME}$", "must be a media type in lower case without parameters, such as `text/markdown`"
)
_SHA256 = named_pattern(f"^({ABSENT}|[0-9a-f]{{64}})$", f"must be a SHA-256 in 64 lower-case hex digits, or `{ABSENT}`")
_BASE64_MAX = -(-FILE_BYTES_MAX // 3) * 4
PathQuery = Annotated[PathField, Query(description="Path of the file, such as `notes/todo.txt`")]


class FileBody(StrictModel):
    """A file to create or replace. Exactly one of `content` and `content_base64` is required."""

    path: PathField
    """Path of the file, 1 to 512 characters, such as `notes/todo.txt`. Segments are separated by `/`."""
    content: Annotated[str, Field(max_length=FILE_BYTES_MAX)] | None = None
    """Content as text, at most 700,000 bytes in UTF-8. Null or absent: `content_base64` is used."""
    content_base64: Annotated[str, Field(max_length=_BASE64_MAX)] | None = None
    """Content in base64, at most 700,000 bytes when decoded. Null or absent: `content` is used."""
    content_type: Annotated[str, Field(max_length=100, pattern=_TYPE)] | None = None
    """Media type, at most 100 characters. Null or absent: `text/plain` for `content`, else `application/octet-stream`.
    """
    expected_sha256: Annotated[str, Field(max_length=64, pattern=_SHA256)] | None = None
    """`sha256` of the file to replace, or `none` if no file may exist at the path. If the path has another file, or no
    file, the call returns 409. Null or absent: not checked.
    """

    @model_validator(mode="after")
    def _check_contents(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError("send exactly one of `content` and `content_base64`")
        return self

    def read(self) -> Content:
        """Return the content. Raise `ValidationFailed` if it is not valid base64."""
        if self.content is not None:
            return Content(self.content.encode(), self.content_type or TEXT_TYPE)
        try:
            data = b64decode(self.content_base64 or "", validate=True)
        except binascii.Error as error:
            raise invalid_field("content_base64", "must be base64 with padding (RFC 4648, section 4)") from error
        return Content(data, self.content_type or BINARY_TYPE)


class FileAnswer(StrictModel):
    """A file of the tenant, without its content."""

    path: str
    """Path of the file, which identifies it in the tenant."""
    size_bytes: int
    """Size of the content in bytes."""
    content_type: str
    """Media type that the writer stated. It is not checked."""
    sha256: str
    """SHA-256 of the content in lower-case hex digits."""
    created_by: str
    """Id of the user, API key or OAuth client that created the file."""
    created_at: str
    """When the file was created (RFC 3339, UTC)."""
    updated_at: str
    """When the content was last written (RFC 3339, UTC)."""


class FileContentAnswer(FileAnswer):
    """A file of the tenant with its content."""

    content: str | None
    """Content as text, or numbered lines if lines were requested. Null if the content is not UTF-8."""
    content_base64: str | None
    """Content in base64. Null if the content is UTF-8."""
    total_lines: int | None
    """Number of lines of the file. Null unless lines were requested."""
    next_offset: int | None
    """Value of `offset` for the lines that follow. Null after the last line, and unless lines were requested."""


def _service(runtime: Runtime, tenant: TenantContext) -> FileService:
    table, blobs = runtime.tenant_table(tenant.tenant_id), runtime.tenant_blobs(tenant.tenant_id)
    return FileService(tenant, FileStore(table), blobs, runtime.clock, open_audit(tenant, table, runtime.clock))


@router.get("/v1/files", dependencies=_READ)
def list_files(
    tenant: TenantDep,
    runtime: RuntimeDep,
    page: PageDep,
    prefix: Annotated[PrefixField, Query(description="Only paths that begin with this text. Default: all")] = "",
) -> ListOf[FileAnswer]:
    """List files.

    Returns the files of the tenant without their content, sorted by the UTF-8 bytes of the path.
    """
    scope = list_scope(tenant, "files", prefix=prefix)
    found = _service(runtime, tenant).list(prefix, page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(_render), runtime.cursors, scope=scope)


@router.post("/v1/files", status_code=201, dependencies=_WRITE, responses=problem_responses(403, 409))
def write_file(
    body: FileBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> FileAnswer:
    """Write a file.

    Creates the file, or replaces its content. Returns 409 if `expected_sha256` does not match, and 403 `QUOTA_EXCEEDED`
    if the tenant has the maximum number of files.
    """
    file = _service(runtime, tenant).write(body.path, body.read(), body.expected_sha256)
    response.headers["Location"] = f"{base_url}/v1/files/content?path={quote(file.path, safe='/')}"
    return _render(file)


@router.get("/v1/files/content", dependencies=_READ, responses=problem_responses(404))
def read_file(
    path: PathQuery,
    tenant: TenantDep,
    runtime: RuntimeDep,
    offset: Annotated[
        int | None,
        Query(ge=1, description="Number of the first line to return, from 1. Default: 1 if `limit` is sent"),
        BeforeValidator(read_decimal_text),
    ] = None,
    limit: Annotated[
        int | None,
        Query(ge=1, le=LINES_MAX, description="Lines to return, 1 to 5,000. Default: 500 if `offset` is sent"),
        BeforeValidator(read_decimal_text),
    ] = None,
) -> FileContentAnswer:
    """Read a file.

    Returns the whole content. With `offset` or `limit`, returns lines of a text file, each with its number and a tab,
    at most 40,000 characters.
    """
    file, data = _service(runtime, tenant).read(path)
    text, lines = read_text(data), None
    if offset is not None or limit is not None:
        if text is None:
            raise invalid_field("offset" if offset else "limit", "must be absent: the file is not text", place="query")
        lines = LinePage.read(text, offset or 1, limit or LINES_DEFAULT)
    return FileContentAnswer(
        **_render(file).model_dump(),
        content=lines.text if lines else text,
        content_base64=b64encode(data).decode() if text is None else None,
        total_lines=lines.total if lines else None,
        next_offset=lines.next_offset if lines else None,
    )


@router.delete("/v1/files", status_code=204, dependencies=_WRITE, responses=problem_responses(404))
def delete_file(path: PathQuery, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a file.

    The content is deleted too and cannot be restored. Returns 404 if there is no file at the path.
    """
    _service(runtime, tenant).delete(path)


def _render(file: File) -> FileAnswer:
    return FileAnswer(
        path=file.path,
        size_bytes=file.size_bytes,
        content_type=file.content_type,
        sha256=file.sha256,
        created_by=file.created_by,
        created_at=format_time(file.created_at),
        updated_at=format_time(file.updated_at),
    )
