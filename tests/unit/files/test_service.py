"""Reading and changing files: races with other calls, lost replies, a killed process, and the number of files."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from atrium.files.model import FILE_BYTES_MAX, FILES_MAX, Content, FilePath, read_path
from atrium.files.service import ABSENT, FileService
from atrium.files.store import FileStore
from atrium.kernel.errors import Conflict, CountExceeded, NotFound, Unavailable, ValidationFailed
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import PageRequest, read_all
from atrium.storage import keys
from atrium.storage.blobs import TenantBlobs
from atrium.storage.writes import ANY, Put
from botocore.exceptions import ClientError

from tests.builders.tenant_env import OTHER_OWNER, OTHER_TENANT, OWNER, TENANT, TenantEnv, context_of
from tests.builders.wires import Kill, Killed, Outage, Send, intercepted, lose_replies

PATH = read_path("notes/todo.txt")
ONE, TWO, THREE = (Content(text, "text/plain") for text in (b"one", b"two", b"three"))


def files_of(env: TenantEnv, tenant: TenantId = TENANT, owner: str = OWNER) -> FileService:
    store, blobs = FileStore(env.table(tenant)), TenantBlobs(env.bucket, tenant)
    return FileService(context_of(owner, tenant=tenant), store, blobs, env.clock)


def count_of(env: TenantEnv) -> int:
    return int((env.table().get(keys.counts()) or {}).get("files", 0))


def paths(files: FileService, prefix: str = "") -> list[str]:
    return [file.path for file in read_all(lambda page: files.list(prefix, page))]


def assert_consistent(env: TenantEnv, unused: int = 0) -> None:
    """Assert that each file has its content, and that there are at most `unused` other blobs."""
    files = files_of(env)
    found = [files.read(FilePath(path))[0].reference for path in paths(files)]
    assert count_of(env) == len(found)
    blobs = [each for each in env.blobs() if "/files/" in each]
    assert len(found) <= len(blobs) <= len(found) + unused


def test_a_file_is_created_replaced_and_deleted(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    created = files.write(PATH, ONE)
    tenant_env.clock.advance(5)
    replaced = files_of(tenant_env, owner=OTHER_OWNER).write(PATH, TWO)
    assert files.read(PATH) == (replaced, b"two")
    assert (replaced.created_by, replaced.created_at) == (OWNER, created.created_at)
    assert replaced.updated_at > created.updated_at
    assert_consistent(tenant_env)
    files.delete(PATH)
    for call in (files.read, files.delete):
        with pytest.raises(NotFound):
            call(PATH)
    assert (paths(files), tenant_env.blobs(), count_of(tenant_env)) == ([], [], 0)


def test_another_tenant_has_other_files(tenant_env: TenantEnv) -> None:
    files, others = files_of(tenant_env), files_of(tenant_env, OTHER_TENANT)
    files.write(PATH, ONE)
    assert paths(others) == []
    others.write(PATH, TWO)
    others.delete(PATH)
    assert files.read(PATH)[1] == b"one"


def test_lists_paths_by_prefix_in_pages(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    names = ["a/1", "a/2", "a/b/3", "ab", "é", "#/x"]
    for name in names:
        files.write(read_path(name), ONE)
    assert paths(files) == sorted(names)
    assert paths(files, "a/") == ["a/1", "a/2", "a/b/3"]
    first = files.list("a", PageRequest(3))
    assert [file.path for file in files.list("a", PageRequest(3, first.position)).items] == ["ab"]


def test_a_write_can_expect_content(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    first = files.write(PATH, ONE, ABSENT)
    for expected in (ABSENT, "0" * 64):
        with pytest.raises(Conflict):
            files.write(PATH, TWO, expected)
    assert files.write(PATH, TWO, first.sha256).sha256 != first.sha256
    with pytest.raises(Conflict):
        files.write(read_path("other"), TWO, first.sha256)
    assert_consistent(tenant_env)


class Before:
    """Call a function once, before the first call of an operation."""

    def __init__(self, operation: str, act: Callable[[], object]) -> None:
        self.operation, self.act, self.done = operation, act, False

    def __call__(self, operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        if operation == self.operation and not self.done:
            self.done = True
            self.act()
        return send()


def test_a_change_between_read_and_write_is_replaced(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    for act in (lambda: files.write(PATH, TWO), lambda: files.delete(PATH)):
        with tenant_env.intercepted(Before("TransactWriteItems", act)):
            files.write(PATH, THREE)
        assert files.read(PATH)[1] == b"three"
        assert_consistent(tenant_env)
    with tenant_env.intercepted(Before("TransactWriteItems", lambda: files.write(PATH, ONE))):
        files.delete(PATH)
    assert_consistent(tenant_env)


def test_a_change_between_check_and_write_is_a_conflict(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    with (
        tenant_env.intercepted(Before("TransactWriteItems", lambda: files.write(PATH, TWO))),
        pytest.raises(Conflict),
    ):
        files.write(PATH, ONE, ABSENT)
    assert files.read(PATH)[1] == b"two"
    assert_consistent(tenant_env)


def test_reads_a_file_that_is_replaced_meanwhile(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    files.write(PATH, ONE)
    with tenant_env.intercepted(Before("GetObject", lambda: files.write(PATH, TWO))):
        assert files.read(PATH)[1] == b"two"
    with tenant_env.intercepted(Before("GetObject", lambda: files.delete(PATH))), pytest.raises(NotFound):
        files.read(PATH)


class Contention:
    """Reject the first transactions, as DynamoDB does if another transaction is writing one of their items."""

    def __init__(self, rejected: int) -> None:
        self.left = rejected

    def __call__(self, operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        if operation != "TransactWriteItems" or self.left == 0:
            return send()
        self.left -= 1
        answer: Any = {
            "Error": {"Code": "TransactionCanceledException"},
            "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
        }
        raise ClientError(answer, operation)


def test_contention_is_retried(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    with tenant_env.intercepted(Contention(5)):
        files.write(PATH, ONE)
    assert_consistent(tenant_env)
    with tenant_env.intercepted(Contention(100)):
        for change in (lambda: files.write(PATH, TWO), lambda: files.delete(PATH)):
            with pytest.raises(Unavailable) as refused:
                change()
            assert refused.value.retry_after_seconds == 1
    assert files.read(PATH)[1] == b"one"
    assert_consistent(tenant_env, 1)


def test_lost_content_is_unavailable_until_it_is_written_again(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    files.blobs.delete(files.write(PATH, ONE).reference)
    with pytest.raises(Unavailable):
        files.read(PATH)
    files.write(PATH, TWO)
    assert files.read(PATH)[1] == b"two"


def test_lost_replies_change_nothing(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    with intercepted(tenant_env.physical.client, lose_replies):
        for content in (ONE, TWO):
            files.write(PATH, content)
            assert files.read(PATH)[1] == content.data
    assert_consistent(tenant_env, 1)  # a content is not deleted if it is unknown whether it was replaced


@pytest.mark.parametrize("applied", [False, True])
def test_a_killed_process_leaves_at_most_one_blob(tenant_env: TenantEnv, applied: bool) -> None:
    files, number, died = files_of(tenant_env), 0, True
    files.write(PATH, ONE)
    while died:
        unused = len(tenant_env.blobs()) - count_of(tenant_env)
        killer = Kill(number, applied=applied)
        with tenant_env.intercepted(killer), suppress(Killed):
            files.write(PATH, TWO)
            files.delete(PATH)
            files.write(PATH, THREE)
        died, number = killer.died, number + 1
        assert_consistent(tenant_env, unused + 1)
    assert number > 10


def test_a_change_succeeds_although_the_replaced_content_cannot_be_deleted(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    files.write(PATH, ONE)
    with tenant_env.intercepted(Outage(lambda _number, operation: operation == "DeleteObject")):
        files.write(PATH, TWO)
    assert files.read(PATH)[1] == b"two"
    assert_consistent(tenant_env, 1)


def test_the_number_of_files_is_limited(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    files.write(PATH, ONE)
    tenant_env.table().write(Put(keys.counts(), {"files": FILES_MAX}, ANY))
    with pytest.raises(CountExceeded) as full:
        files.write(read_path("other"), ONE)
    assert full.value.extensions["limit"] == "files"
    files.write(PATH, TWO)
    files.delete(PATH)
    files.write(read_path("other"), ONE)
    assert len(tenant_env.blobs()) == 1


def test_the_size_of_a_file_is_limited(tenant_env: TenantEnv) -> None:
    files = files_of(tenant_env)
    files.write(PATH, Content(b"x" * FILE_BYTES_MAX, "text/plain"))
    with pytest.raises(ValidationFailed):
        files.write(PATH, Content(b"x" * (FILE_BYTES_MAX + 1), "text/plain"))
