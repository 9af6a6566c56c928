"""Provides the services that a function needs outside AWS: a seeded AWS emulator and a model server on 127.0.0.1.

If the local stack is running, its emulator and the environment variables of its functions are used instead. The command
`python -m infra.runtime.sandbox` serves the addresses in tests/events/env.json for `sam local invoke`.
"""

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from atrium.settings import MODEL_VENDORS
from atrium.storage.table import PhysicalTable

from infra.bootstrap.credentials import SECRETS, SecretArns, fill_secrets, read_pepper
from infra.local import model_server
from infra.runtime.aws import running_aws
from infra.runtime.environment import STATE, Overrides, override, read_overrides
from infra.runtime.functions import Function, read_functions
from infra.runtime.resources import Endpoint, create_resources
from infra.runtime.seed import seed
from infra.runtime.template import PSEUDO, ROOT, Document, Resolver, read_template

ENV_FILE = ROOT / "tests" / "events" / "env.json"
STACK_FILE = STATE / "dev.json"


@dataclass(frozen=True)
class Sandbox:
    """The functions with resolved variables, and the addresses that are added to each function's environment."""

    functions: Mapping[str, Function]
    addresses: Mapping[str, str]

    def environment(self, function: Function, overrides: Overrides) -> dict[str, str]:
        """Return a function's variables: the template's variables, overridden by the env file, and the addresses."""
        return {**override(function, overrides), **self.addresses}


@contextlib.contextmanager
def own_sandbox(template: Document, *, aws_port: int = 0, model_port: int = 0) -> Iterator[Sandbox]:
    """Run an AWS emulator and a model server on 127.0.0.1 until the context ends.

    The emulator has the template's resources and the objects that tests/events use.
    """
    with running_aws(aws_port) as endpoint, model_server.running(model_port) as model:
        attributes = create_resources(Resolver(template), endpoint)
        ids = {logical_id: found["Ref"] for logical_id, found in attributes.items()}
        _fill_and_seed(endpoint, ids)
        functions = read_functions(Resolver(template, {}, attributes))
        chat = {"OPENAI_BASE_URL": f"{model.url}/v1", "ZHIPU_BASE_URL": f"{model.url}/v1"}
        yield Sandbox(functions, {"AWS_ENDPOINT_URL": endpoint.url, "ANTHROPIC_BASE_URL": model.url, **chat})


def stack_sandbox(template: Document) -> Sandbox | None:
    """Return a sandbox that uses the local stack, or None if the local stack is not running."""
    endpoint = _stack_endpoint()
    if endpoint is None:
        return None
    ids = _physical_ids(endpoint)
    _fill_and_seed(endpoint, ids)
    deployed = {
        logical_id: replace(function, environment=_deployed_variables(ids[logical_id], endpoint))
        for logical_id, function in read_functions(Resolver(template)).items()
    }
    return Sandbox(deployed, {"AWS_ENDPOINT_URL": endpoint.url})


def _fill_and_seed(endpoint: Endpoint, ids: Mapping[str, str]) -> None:
    """Fill the empty secrets, and write the objects that tests/events use. Existing values are not changed."""
    arns = SecretArns(*(ids[f"{name.title()}Secret"] for name in SECRETS))
    client = endpoint.client("secretsmanager")
    fill_secrets(client, arns, api_keys={"model": dict.fromkeys(MODEL_VENDORS, "for the model server")})
    seed(PhysicalTable(endpoint.client("dynamodb"), ids["Table"]), read_pepper(client, arns))


def _stack_endpoint() -> Endpoint | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        url = str(json.loads(STACK_FILE.read_text())["endpoint_url"])
        address = urlsplit(url)
        with socket.create_connection((address.hostname or "", address.port or 0), 1):
            return Endpoint(url)
    return None


def _physical_ids(endpoint: Endpoint) -> dict[str, str]:
    pages = endpoint.client("cloudformation").get_paginator("list_stack_resources")
    return {
        resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "")
        for page in pages.paginate(StackName=PSEUDO["AWS::StackName"])
        for resource in page["StackResourceSummaries"]
    }


def _deployed_variables(name: str, endpoint: Endpoint) -> dict[str, str]:
    deployed = endpoint.client("lambda").get_function_configuration(FunctionName=name)
    variables: dict[str, str] = deployed.get("Environment", {}).get("Variables", {})
    return variables


def main() -> None:
    """Run the AWS emulator and the model server at the addresses in the env file until interrupted."""
    addresses = read_overrides(Path(ENV_FILE))["Parameters"]
    aws, model = (urlsplit(addresses[name]).port or 0 for name in ("AWS_ENDPOINT_URL", "ANTHROPIC_BASE_URL"))
    with (
        own_sandbox(read_template(), aws_port=aws, model_port=model) as sandbox,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for name, address in sandbox.addresses.items():
            print(f"{name}={address}", file=sys.stderr)
        print("ready; press Ctrl-C to stop", file=sys.stderr)
        threading.Event().wait()


if __name__ == "__main__":
    main()
