"""`python -m infra.runtime.invoke --function chat --event tests/events/chat/answer.json`, used by `make invoke`.

The command prints the result as JSON to stdout, and logs to stderr. The exit status is 1 if the function failed, and 2
if the function could not be run.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.conformance.adapter import built_adapter
from infra.runtime.artifact import Artifact, ArtifactMissing, running_artifact
from infra.runtime.build import BuildFailed, build_functions
from infra.runtime.environment import Overrides, read_overrides
from infra.runtime.functions import find_function, read_functions, short_name
from infra.runtime.results import Invocation
from infra.runtime.sandbox import ENV_FILE, Sandbox, own_sandbox, stack_sandbox
from infra.runtime.template import Document, Resolver, TemplateInvalid, read_template


class EventInvalid(Exception):
    """Raised if the event file cannot be read or is not JSON."""


def main(arguments: Sequence[str]) -> int:
    """Run one invocation and return the exit status."""
    options = _parse(arguments)
    if not options.function or not options.event:
        print(_usage(), file=sys.stderr)
        return 2
    try:
        event = _read_event(Path(options.event))
        template = read_template()
        find_function(read_functions(Resolver(template)), options.function)  # fails before resources are created
        with _sandbox(template, alone=options.alone) as (sandbox, overrides):
            given = read_overrides(options.env_vars) if options.env_vars else overrides
            function = find_function(sandbox.functions, options.function)
            artifact = Artifact(function, build_functions(template, [function]))
            environment = sandbox.environment(function, given)
            with running_artifact(artifact, environment, adapter=built_adapter()) as api:
                result = api.invoke(event, function.timeout_seconds)
    except (TemplateInvalid, EventInvalid, BuildFailed, ArtifactMissing) as failure:
        print(f"invoke: {failure}", file=sys.stderr)
        return 2
    return _report(result)


def render(result: Invocation) -> object:
    """Return the output: a buffered response unchanged, or a streamed response as status, headers and body."""
    if result.prelude is None:
        return result.json()
    return {
        "statusCode": result.prelude.status,
        "headers": dict(result.prelude.headers),
        "cookies": list(result.prelude.cookies),
        "body": result.payload.decode("utf-8", "replace"),
    }


@contextlib.contextmanager
def _sandbox(template: Document, *, alone: bool) -> Iterator[tuple[Sandbox, Overrides]]:
    stack = None if alone else stack_sandbox(template)
    if stack is not None:
        print(f"invoke: on the local stack, {stack.addresses['AWS_ENDPOINT_URL']}", file=sys.stderr)
        yield stack, {}
    else:
        with own_sandbox(template) as own:
            yield own, read_overrides(ENV_FILE)


def _read_event(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        json.loads(content)
    except (OSError, ValueError) as error:
        raise EventInvalid(f"{path} is not a JSON event: {error}") from error
    return content


def _report(result: Invocation) -> int:
    print(f"invoke: {result.request_id} {result.status} in {result.seconds * 1000:.0f} ms", file=sys.stderr)
    if result.error is not None:
        error = {"errorType": result.error.type, "errorMessage": result.error.message}
        print(json.dumps({**error, "stackTrace": list(result.error.trace)}, indent=2))
        return 1
    print(json.dumps(render(result), indent=2, ensure_ascii=False))
    return 0


def _usage() -> str:
    """Return the usage text: the command line, the functions, and the folder of the events."""
    names = sorted(short_name(function) for function in read_functions(Resolver(read_template())).values())
    return "\n".join(
        (
            "usage: make invoke FUNCTION=<name> EVENT=<file>",
            "       make invoke FUNCTION=chat EVENT=tests/events/chat/answer.json",
            f"functions: {' '.join(names)}",
            "events: tests/events/<function>/*.json",
        )
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.runtime.invoke", description=__doc__)
    parser.add_argument("--function", default="", help="chat, sessions, usage_stream … or a logical id")
    parser.add_argument("--event", default="", help="file with the event")
    parser.add_argument("--env-vars", type=Path, help="env file as `sam local invoke` takes it")
    parser.add_argument("--alone", action="store_true", help="never use the local stack, even where it runs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
