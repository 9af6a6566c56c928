"""The tools of files: their results, and the errors that the model receives."""

from typing import Any

import pytest
from atrium.context.conversation import EPHEMERAL_OUTPUTS
from atrium.files.model import FILES_MAX, Content, read_path
from atrium.files.service import FileService
from atrium.files.store import FileStore
from atrium.kernel.ids import TenantId
from atrium.storage import keys
from atrium.storage.writes import ANY, Put
from atrium.tools.files import FILE_DELETE, FILE_LIST, FILE_READ, FILE_WRITE
from atrium.tools.model import Tool, ToolContext, ToolRefusal, ToolRetry
from atrium.tools.output import RESULT_CHARACTERS_MAX
from pydantic import ValidationError

from tests.builders.loops import tool_context
from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, context_of

PATH = "notes/todo.txt"


def context_in(env: TenantEnv, tenant: TenantId = TENANT) -> ToolContext:
    return tool_context(env.clock, tenant=tenant, services=env.services(context_of(tenant=tenant)))


@pytest.fixture
def context(tenant_env: TenantEnv) -> ToolContext:
    return context_in(tenant_env)


def write(context: ToolContext, path: str, content: str) -> object:
    return FILE_WRITE.call({"path": path, "content": content}, context)


def test_writes_reads_and_deletes_a_file(context: ToolContext) -> None:
    assert write(context, "/notes/todo.txt", "one\ntwö\n") == "Wrote 9 bytes to notes/todo.txt."
    assert FILE_READ.call({"path": PATH}, context) == "1\tone\n2\ttwö"
    assert FILE_LIST.call({}, context) == "notes/todo.txt (9 bytes, text/plain)"
    assert FILE_DELETE.call({"path": PATH}, context) == "Deleted notes/todo.txt."
    assert FILE_LIST.call({}, context) == "[There are no files.]"
    for tool in (FILE_READ, FILE_DELETE):
        with pytest.raises(ToolRetry, match="File not found"):
            tool.call({"path": PATH}, context)


def test_another_tenants_files_are_not_found(tenant_env: TenantEnv, context: ToolContext) -> None:
    write(context_in(tenant_env, OTHER_TENANT), PATH, "theirs")
    assert FILE_LIST.call({}, context) == "[There are no files.]"
    with pytest.raises(ToolRetry, match="File not found"):
        FILE_READ.call({"path": PATH}, context)


def test_reads_lines_from_an_offset(context: ToolContext) -> None:
    write(context, PATH, "a\nb\nc\n")
    page = "2\tb\n[The file has 3 lines. Continue with `offset`: 3]"
    assert FILE_READ.call({"path": PATH, "offset": 2, "limit": 1}, context) == page
    assert FILE_READ.call({"path": PATH, "offset": 4}, context) == "[The file has 3 lines; none at this offset.]"
    write(context, PATH, "")
    assert FILE_READ.call({"path": PATH}, context) == "[The file has 0 lines; none at this offset.]"


def test_a_page_of_a_long_file_fits_into_a_result(context: ToolContext) -> None:
    write(context, PATH, "x" * 99 + "\n" + "y" * 600_000)
    assert "Continue with `offset`: 2" in str(FILE_READ.call({"path": PATH}, context))
    assert len(str(FILE_READ.call({"path": PATH, "offset": 2}, context))) < RESULT_CHARACTERS_MAX


def test_lists_more_files_than_fit_into_a_result(tenant_env: TenantEnv, context: ToolContext) -> None:
    for number in range(102):
        write(context, f"a/{number:03}", "x")
    first = str(FILE_LIST.call({"prefix": "a/"}, context))
    assert first.endswith("[More files follow. Continue with `after`: a/099]")
    rest = str(FILE_LIST.call({"prefix": "a/", "after": "a/099"}, context))
    assert [line.split()[0] for line in rest.splitlines()] == ["a/100", "a/101"]
    with pytest.raises(ToolRetry, match="must begin with `prefix`"):
        FILE_LIST.call({"prefix": "b/", "after": "a/099"}, context)


@pytest.mark.parametrize("path", ["../x", "a/../../b", "", "a\x00", "a\u202eb", "\ud800"])
@pytest.mark.parametrize("tool", [FILE_READ, FILE_WRITE, FILE_DELETE])
def test_rejects_an_invalid_path(tenant_env: TenantEnv, context: ToolContext, tool: Tool[Any], path: str) -> None:
    arguments = {"path": path, **({"content": "x"} if tool is FILE_WRITE else {})}
    with pytest.raises(ValidationError):
        tool.call(arguments, context)
    assert tenant_env.blobs() == []


def test_tells_the_model_of_content_that_is_not_text_or_not_valid(tenant_env: TenantEnv, context: ToolContext) -> None:
    services = context.require_services()
    files = FileService(services.caller, FileStore(services.table), services.blobs, tenant_env.clock)
    files.write(read_path("logo.png"), Content(b"\x89PNG", "image/png"))
    with pytest.raises(ToolRetry, match=r"not text\. It has 4 bytes of the type image/png"):
        FILE_READ.call({"path": "logo.png"}, context)
    with pytest.raises(ToolRetry, match="at most 700000 bytes"):
        write(context, PATH, "é" * 350_001)
    with pytest.raises(ValidationError):
        write(context, PATH, "\ud800")


def test_tells_the_model_that_there_are_too_many_files(tenant_env: TenantEnv, context: ToolContext) -> None:
    tenant_env.table().write(Put(keys.counts(), {"files": FILES_MAX}, ANY))
    with pytest.raises(ToolRetry, match="Delete files first"):
        write(context, PATH, "x")


def test_needs_the_platform() -> None:
    with pytest.raises(ToolRefusal, match="only for agents that run on the platform"):
        FILE_LIST.call({}, tool_context())


def test_old_outputs_of_reading_leave_the_requests() -> None:
    assert EPHEMERAL_OUTPUTS[FILE_READ.category] == 5
    assert FILE_LIST.category not in EPHEMERAL_OUTPUTS
