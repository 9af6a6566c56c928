"""File operations for one caller. Routes and the tool guard check the caller's permissions."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from atrium.audit.service import AuditService
from atrium.files.model import FILE_BYTES_MAX, Content, File, FilePath, make_file
from atrium.files.store import FileChanged, FileStore
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, CountExceeded, NotFound, Unavailable, invalid_field
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage.blobs import BlobGone, TenantBlobs
from atrium.storage.table import Contended
from atrium.storage.writes import Put
from atrium.tenants.context import TenantContext

ABSENT = "none"
"""The value of `expected` for a path at which no file may exist."""
_ATTEMPTS = 8
"""Attempts of a change. Each creation and deletion changes the number of files, so that parallel ones can conflict."""


@dataclass(frozen=True, slots=True)
class FileService:
    """The files of the caller's tenant. With `audit`, each change is recorded in the transaction that makes it."""

    context: TenantContext
    store: FileStore
    blobs: TenantBlobs
    clock: Clock
    audit: AuditService | None = None

    def list(self, prefix: str, page: PageRequest) -> Page[File]:
        return self.store.list(prefix, page)

    def read(self, path: FilePath) -> tuple[File, bytes]:
        """Return a file and its content. Raise `NotFound` if there is no file at the path."""
        for _ in range(_ATTEMPTS):
            file = _existing(self.store.get(path))
            with suppress(BlobGone):  # another call replaced or deleted the file after its item was read
                return file, self.blobs.get(file.reference)
        raise Unavailable(internal=f"the content {file.content_id} does not exist", retry_after_seconds=1)

    def write(self, path: FilePath, content: Content, expected: str | None = None) -> File:
        """Create a file, or replace its content.

        `expected` is the SHA-256 of the content to replace, `ABSENT`, or None for any. Raises `Conflict` if the path
        has other content, `ValidationFailed` if the content is too large, and `CountExceeded` for too many files.
        """
        if len(content.data) > FILE_BYTES_MAX:
            raise invalid_field("content", f"must have at most {FILE_BYTES_MAX} bytes in UTF-8")
        _check(self.store.get(path), expected)
        written = make_file(path, content, self.context.owner, self.clock())
        self.blobs.put(written.reference, content.data, content_type=content.type)

        def commit(before: File | None) -> File:
            if before is not None and before.content_id == written.content_id:
                return before  # the reply of the previous attempt was lost
            _check(before, expected)
            made = before or written
            file = replace(written, created_by=made.created_by, created_at=made.created_at)
            self.store.put(file, before, self._records("file.write", file))
            return file

        try:
            before, file = self._change(path, commit)
        except (Conflict, CountExceeded):
            self._discard(written)
            raise
        if before is not None and before.content_id != file.content_id:
            self._discard(before)
        return file

    def delete(self, path: FilePath) -> None:
        """Delete a file. Raise `NotFound` if there is no file at the path."""

        def commit(before: File | None) -> File:
            file = _existing(before)
            self.store.delete(file, self._records("file.delete", file))
            return file

        _, file = self._change(path, commit)
        self._discard(file)

    def _change(self, path: FilePath, commit: Callable[[File | None], File]) -> tuple[File | None, File]:
        """Read a file and commit a change. Repeat both if another call changed the file in between.

        Returns the file that was read, and the result of `commit`. Raises `Unavailable` if all attempts fail.
        """
        for _ in range(_ATTEMPTS):
            before = self.store.get(path)
            with suppress(FileChanged, Contended):
                return before, commit(before)
        # Not a `Conflict`: one of the attempts may still be applied, so the content must not be deleted.
        raise Unavailable("Other calls are changing the tenant's files. Repeat the call.", retry_after_seconds=1)

    def _discard(self, file: File) -> None:
        """Delete the content of a file that no item names. If S3 fails, the content remains until the tenant's erasure.

        The change of the file is complete, so that a failure here must not fail the call.
        """
        with suppress(Unavailable):
            self.blobs.delete(file.reference)

    def _records(self, action: str, file: File) -> Sequence[Put]:
        if self.audit is None:
            return ()
        details = {"action": action, "resource": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256}
        return (self.audit.recording("admin.change", details),)


def _existing(file: File | None) -> File:
    if file is None:
        raise NotFound("File not found.")
    return file


def _check(file: File | None, expected: str | None) -> None:
    """Raise `Conflict` unless the content of a file is the expected content."""
    if expected is not None and expected != (file.sha256 if file else ABSENT):
        found = f"has the SHA-256 {file.sha256}" if file else "does not exist"
        raise Conflict(
            f"`expected_sha256` does not match: the file {found}. Read the file, and send its `sha256`, or `{ABSENT}` "
            "for a new file."
        )
