"""Starts a built function as Lambda does: it can import only its artifact, its layers and the standard library.

A buffered function runs under awslambdaric. A streaming function runs its `run.sh` with the Lambda Web Adapter, or
with `fake_adapter` if the adapter is not built.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.ports import free_port
from infra.runtime.api import RuntimeApi
from infra.runtime.environment import lambda_environment, python_environment
from infra.runtime.fake_adapter import running_fake_adapter
from infra.runtime.functions import Function
from infra.runtime.processes import running
from infra.runtime.results import FunctionError
from infra.runtime.ric import interface_client


class ArtifactMissing(Exception):
    """Raised if a function or a layer has not been built."""


@dataclass(frozen=True)
class Artifact:
    """A built function. `build` contains one folder per logical id, like the output of `sam build`."""

    function: Function
    build: Path

    @property
    def task_root(self) -> Path:
        """Return the folder of the built function, which is the value of LAMBDA_TASK_ROOT."""
        return self._existing(self.function.logical_id)

    @property
    def layers(self) -> list[Path]:
        """Return the `python` folders of the function's layers, in order of precedence."""
        return [self._existing(layer) / "python" for layer in self.function.layers]

    def _existing(self, logical_id: str) -> Path:
        folder = self.build / logical_id
        if not folder.is_dir():
            raise ArtifactMissing(f"{logical_id} is not built in {self.build.name}")
        return folder


@contextlib.contextmanager
def running_artifact(
    artifact: Artifact, variables: Mapping[str, str], *, adapter: Path | None = None
) -> Iterator[RuntimeApi]:
    """Run the function with these environment variables until the context ends, and yield its Runtime API.

    `adapter` is the web adapter's binary for a streaming function. If `adapter` is None, the fake adapter is used. If a
    process of the function ends, all invocations fail with `Runtime.ExitError`.
    """
    function = artifact.function
    with RuntimeApi(function_name=function.name, handler=function.handler) as api:
        environment = {
            **lambda_environment(function, artifact.task_root, api.address),
            **python_environment([artifact.task_root, *artifact.layers, interface_client()]),
            **variables,
        }
        if function.streams:
            with _streaming(artifact, environment, adapter, api):
                yield api
        else:
            command = ["python", "-m", "awslambdaric", function.handler]
            with _process(command, artifact, environment, api):
                yield api


@contextlib.contextmanager
def _streaming(
    artifact: Artifact, environment: Mapping[str, str], adapter: Path | None, api: RuntimeApi
) -> Iterator[None]:
    port = free_port()
    local = {**environment, "AWS_LWA_PORT": str(port), "PORT": str(port)}
    script = artifact.task_root / artifact.function.handler
    if not os.access(script, os.X_OK):
        raise ArtifactMissing(f"{artifact.function.logical_id} has no executable {artifact.function.handler}")
    with contextlib.ExitStack() as stack:
        if adapter is not None:
            stack.enter_context(_process([str(adapter.resolve())], artifact, local, api))
        else:
            stack.enter_context(running_fake_adapter(api, port, local.get("AWS_LWA_READINESS_CHECK_PATH", "/")))
        # The server is stopped before the adapter, because the adapter waits until the server's response ends.
        stack.enter_context(_process([str(script)], artifact, local, api))
        yield


@contextlib.contextmanager
def _process(command: list[str], artifact: Artifact, environment: Mapping[str, str], api: RuntimeApi) -> Iterator[None]:
    def note(status: int) -> None:
        api.fail(FunctionError("Runtime.ExitError", f"{Path(command[0]).name} exited with status {status}"))

    with running(command, folder=artifact.task_root, environment=environment, on_end=note):
        yield
