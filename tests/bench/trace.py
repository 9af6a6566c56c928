"""`python -m tests.bench.trace` lists our files and functions that a warm `POST /v1/chat` executes, on moto.

The turn continues a session and calls no tool. The model is the local model server, called through the adapter that
production uses. The admission list contains the functions of `atrium.quotas` and the functions that they call. Module
bodies, class bodies and generator expressions are omitted.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import CodeType, FrameType

from atrium.storage.table import PhysicalTable
from moto import mock_aws

from functions.chat.app import build
from infra.local.model_server import running
from infra.runtime.resources import create_table, local_session, table_definition
from infra.runtime.template import ROOT, Resolver, read_template
from tests.builders.api_env import ApiEnv, Holder, open_api_env, serving
from tests.builders.tenant_env import open_tenant_env

FILES_MAX, ADMISSION_FILES_MAX = 60, 12
_WARM_UP = 3
_OURS = {f"{ROOT / 'layers' / 'core'}/": "", f"{ROOT / 'functions'}/": "functions/"}
_QUOTAS = f"{ROOT / 'layers' / 'core' / 'atrium' / 'quotas'}/"
_monitoring = sys.monitoring


@dataclass(slots=True)
class Trace:
    """The executed functions by file: all functions, and the functions of admission."""

    all: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    admission: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def note(self, code: CodeType, frame: FrameType | None) -> None:
        place = _place(code.co_filename)
        if place is None or (code.co_name.startswith("<") and code.co_name != "<lambda>"):
            return
        self.all[place].add(code.co_qualname)
        while frame is not None and not frame.f_code.co_filename.startswith(_QUOTAS):
            frame = frame.f_back
        if frame is not None:
            self.admission[place].add(code.co_qualname)


def main() -> None:
    """Print the trace, and the permitted number of files."""
    with redirect_stdout(StringIO()), _api_env() as api_env:
        client = api_env.chat_as()
        session = client.post("/v1/chat", json={"message": "Hi"}).json()["session_id"]
        for _ in range(_WARM_UP):
            assert client.post("/v1/chat", json={"message": "Hi", "session_id": session}).status_code == 200
        with _traced() as trace:
            answer = client.post("/v1/chat", json={"message": "Hi again", "session_id": session})
        assert answer.status_code == 200, answer.text
    _show("POST /v1/chat, warm", trace.all, FILES_MAX)
    _show("of that, admission", trace.admission, ADMISSION_FILES_MAX)


@contextmanager
def _api_env() -> Iterator[ApiEnv]:
    with ExitStack() as stack:
        stack.enter_context(mock_aws())
        client = local_session().client("dynamodb")
        create_table(client, table_definition(Resolver(read_template())), "trace")
        holder = Holder()
        server, url = stack.enter_context(running()), stack.enter_context(serving(build(holder)))
        tenant_env = stack.enter_context(open_tenant_env(PhysicalTable(client, "trace"), on_moto=True))
        yield stack.enter_context(open_api_env(tenant_env, server, url, holder))


@contextmanager
def _traced() -> Iterator[Trace]:
    """Record each of our functions that is called in any thread. Yield the trace."""
    trace, tool = Trace(), _monitoring.PROFILER_ID
    _monitoring.use_tool_id(tool, "trace")
    _monitoring.register_callback(tool, _monitoring.events.PY_START, lambda code, _: trace.note(code, sys._getframe(1)))
    _monitoring.set_events(tool, _monitoring.events.PY_START)
    try:
        yield trace
    finally:
        _monitoring.set_events(tool, 0)
        _monitoring.free_tool_id(tool)


def _place(filename: str) -> str | None:
    """Return a file's path relative to our code, or None for other code."""
    for prefix, shown in _OURS.items():
        if filename.startswith(prefix):
            return shown + filename[len(prefix) :]
    return None


def _show(title: str, files: dict[str, set[str]], files_max: int) -> None:
    functions = sum(map(len, files.values()))
    print(f"\n{title}: {len(files)} files (at most {files_max}), {functions} functions")
    packages = Counter(str(Path(place).parent) for place in files)
    for package, count in sorted(packages.items()):
        own = {Path(place): sorted(names) for place, names in files.items() if str(Path(place).parent) == package}
        print(f"\n  {package}: {count} files, {sum(map(len, own.values()))} functions")
        for place, names in sorted(own.items()):
            print(f"    {place.name:20} {', '.join(names)}")


if __name__ == "__main__":
    main()
