"""`python -m infra.iam`: runs the tests that call functions and evaluates the policies for each recorded AWS call."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from infra.iam.calls import RecordedCall, read_calls
from infra.iam.judging import BOUND, Question, ask_all
from infra.iam.policies import TENANT_ROLE, granted, read_policies
from infra.runtime.environment import STATE
from infra.runtime.template import PSEUDO, ROOT, Document

HERE = Path(__file__).parent
RECORDINGS = STATE / "iam-calls"
TESTS = ("tests/isolation", "tests/integration", "tests/unit/runs", "tests/unit/sessions")
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
SECONDS_MAX = 900
CALLS_MIN = 200
# No HTTP test stores a message in the bucket, because no message is large enough. Calls of store tests are used instead
# for these functions.
BLOBS_OF = {
    "s3:GetObject": ("chat", "sessions", "jobs"),
    "s3:PutObject": ("chat", "sessions", "jobs"),
    "s3:DeleteObject": ("chat", "sessions", "jobs"),
    "s3:PutObjectTagging": ("chat", "jobs"),
}
_GONE = "not called: with it S3 answers 404, not 403, for an object that is gone"
_DELETED = "ends a run whose session was deleted during the run"
_READ = "secretsmanager:GetSecretValue"
_KEY = "read before a model call, where the tests set the key in the environment"
_SEARCH_KEY = "read before a web search, where the tests set the provider and its key"
_PLATFORM_CLIENT = "refreshes tokens with the platform's OAuth client; the tests use a tenant's client"
# A secret without a value, which tests of readiness and outages use instead of the function's secret.
_OF_TESTS = "secret/empty"
# Permissions that no recorded call uses, with the reason why the role has them.
UNUSED = {
    ("chat", "s3:ListBucket", "bucket"): _GONE,
    ("sessions", "s3:ListBucket", "bucket"): _GONE,
    ("jobs", "s3:ListBucket", "bucket"): _GONE,
    ("chat", "dynamodb:BatchWriteItem", "table"): _DELETED,
    ("jobs", "dynamodb:BatchWriteItem", "table"): _DELETED,
    ("usage", "dynamodb:PutItem", "table"): "the guard of its routes audits denials",
    ("chat", _READ, "secret/model"): _KEY,
    ("jobs", _READ, "secret/model"): _KEY,
    ("chat", _READ, "secret/search"): _SEARCH_KEY,
    ("jobs", _READ, "secret/search"): _SEARCH_KEY,
    ("chat", _READ, "secret/oauth"): _PLATFORM_CLIENT,
    ("jobs", _READ, "secret/oauth"): _PLATFORM_CLIENT,
    ("tools", _READ, "secret/oauth"): _PLATFORM_CLIENT,
    ("tools", _READ, "secret/idempotency"): "fingerprints of calls with a key, which the tests send to other functions",
    ("jobs", "dynamodb:DeleteItem", "table"): "the tool file_delete in a resumed run",
    ("jobs", "dynamodb:PutItem", "table"): "creates the state of a model's circuit after its first failure",
    ("identity", _READ, "secret/cursor"): "signs cursors of lists, which the tests read through other functions",
    ("admin", _READ, "secret/pepper"): "digests of new API keys, whose secret the tests have read before",
}


def main(arguments: Sequence[str]) -> int:
    """Record calls, evaluate the policies and print the findings. Return the exit status.

    The status is 1 if a policy denies a recorded call or grants a permission that no call needs, and 2 if Node.js is
    missing. With `--recorded`, the calls of the previous run are used.
    """
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        print(f"iam: {' and '.join(missing)} not found on PATH: install Node.js 20 or newer", file=sys.stderr)
        return 2
    if "--recorded" not in arguments:
        _record()
    calls = [call for call in _owned(read_calls(RECORDINGS)) if call.place != _OF_TESTS]
    if len(calls) < CALLS_MIN:
        print(f"iam: only {len(calls)} kinds of call were recorded: the hook is broken", file=sys.stderr)
        return 1
    bound, unbound = read_policies(sessions=True), read_policies(sessions=False)
    questions = list(ask_all(calls, bound, unbound))
    faults = [*_mixed(calls), *_wrong(questions), *_idle(calls, bound, unbound)]
    for fault in faults:
        print(f"iam: {fault}", file=sys.stderr)
    print(
        f"iam: {len(calls)} kinds of call, {len(questions)} requests evaluated, {len(faults)} faults", file=sys.stderr
    )
    return 1 if faults else 0


def _record() -> None:
    shutil.rmtree(RECORDINGS, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "--dist", "loadfile"]
    done = subprocess.run(
        [*command, f"--record-calls={RECORDINGS}", *TESTS], cwd=ROOT, check=False, timeout=SECONDS_MAX
    )
    if done.returncode:
        sys.exit(done.returncode)


def _owned(calls: Sequence[RecordedCall]) -> Iterator[RecordedCall]:
    for call in calls:
        owners = BLOBS_OF.get(call.action, ()) if not call.function else ()
        yield from [replace(call, function=owner) for owner in owners] or [call]


def _mixed(calls: Sequence[RecordedCall]) -> Iterator[str]:
    """Yield a fault for each call in which a tenant-bound function uses keys of two tenants or of the platform."""
    for call in calls:
        of_tenant = [key for key in call.keys if "{" in key]
        if call.function in BOUND and (len(call.tenants) > 1 or 0 < len(of_tenant) < len(call.keys)):
            yield f"{call.function}: {call.action} names {', '.join(call.keys)} in one call"


def _wrong(questions: Sequence[Question]) -> Iterator[str]:
    for question, answer in zip(questions, _evaluate(questions), strict=True):
        if not question.suits(answer):
            call = question.call
            wanted = "allowed" if question.allowed else "denied"
            yield (
                f"{call.function or 'a store'}: {call.action} on {call.place} of {', '.join(call.keys)}, "
                f"{question.what}: {answer}, wanted {wanted}"
            )


def _evaluate(questions: Sequence[Question]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json", "evaluate.mjs"):
            shutil.copy(HERE / name, folder)
        subprocess.run(INSTALL, cwd=folder, check=True, capture_output=True, timeout=120)
        given = {"account": PSEUDO["AWS::AccountId"], "requests": [question.document() for question in questions]}
        done = subprocess.run(
            ["node", "evaluate.mjs"], cwd=folder, input=json.dumps(given), capture_output=True, text=True,
            check=True, timeout=SECONDS_MAX,
        )  # fmt: skip
    answers: list[str] = json.loads(done.stdout)
    return answers


def _idle(calls: Sequence[RecordedCall], bound: dict[str, Document], unbound: dict[str, Document]) -> Iterator[str]:
    """Yield a fault for each permission that no recorded call needs, and for each outdated entry of UNUSED."""
    used = {
        "without sessions": {(call.function, call.action, call.place) for call in calls},
        "with sessions": {
            (TENANT_ROLE if call.function in BOUND and call.is_tenants else call.function, call.action, call.place)
            for call in calls
        },
    }
    idle: set[tuple[str, str, str]] = set()
    for when, policies in (("without sessions", unbound), ("with sessions", bound)):
        for role, policy in policies.items():
            if role == TENANT_ROLE and when == "without sessions":
                continue
            for action, place in sorted(set(granted(policy))):
                if (role, action, place) not in used[when]:
                    idle.add((role, action, place))
                    if (role, action, place) not in UNUSED:
                        yield f"{role}, {when}: {action} on {place} is granted but no call needs it"
    yield from (f"{' '.join(what)}: is needed, or not granted: remove it from UNUSED" for what in UNUSED.keys() - idle)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
