"""Reads the deployed functions, and configures how the emulator invokes them.

The emulator manages Lambda's state (versions, event sources, schedules, retries). If a function's environment has
MINISTACK_LAMBDA_PROXY_URL, the emulator sends each invocation to this URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.runtime.functions import Function, short_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_lambda import LambdaClient

    from infra.local.stack.deploy import Stack
    from infra.runtime.template import Document

_LAMBDA_TYPE = "AWS::Lambda::Function"
_PROXY_VARIABLE = "MINISTACK_LAMBDA_PROXY_URL"


@dataclass(frozen=True)
class StackFunction:
    """A deployed function. `reserved` is its reserved concurrency, or None if no concurrency is reserved."""

    function: Function
    arn: str
    reserved: int | None
    log_format: str
    log_level: str

    @property
    def source_folder(self) -> str:
        """Return the folder of the function's code relative to the repository's root, such as `functions/chat`."""
        return "/".join(self.function.handler.replace(".", "/").split("/")[:2])

    @property
    def component(self) -> str:
        """Return the name that precedes the function's log lines."""
        return short_name(self.function)


def read_functions(stack: Stack) -> dict[str, StackFunction]:
    """Return the functions by physical name, with the environment variables that the emulator resolved."""
    client: LambdaClient = stack.endpoint.client("lambda")
    resources: Mapping[str, Document] = stack.resolver.template["Resources"]
    found = [
        _read(logical_id, stack.physical_ids[logical_id], stack.resolver.resolve(resource["Properties"]), client)
        for logical_id, resource in resources.items()
        if resource["Type"] == _LAMBDA_TYPE and logical_id in stack.physical_ids
    ]
    return {item.function.name: item for item in found}


def route_invocations(functions: Mapping[str, StackFunction], url: str, stack: Stack) -> None:
    """Configure the emulator to send all invocations of these functions to `url`. Idempotent."""
    client: LambdaClient = stack.endpoint.client("lambda")
    for name, item in functions.items():
        variables = {**item.function.environment, _PROXY_VARIABLE: url}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def _read(logical_id: str, name: str, properties: Document, client: LambdaClient) -> StackFunction:
    deployed = client.get_function_configuration(FunctionName=name)
    reserved = properties.get("ReservedConcurrentExecutions")
    logging = properties.get("LoggingConfig", {})
    variables = deployed.get("Environment", {}).get("Variables", {})
    return StackFunction(
        function=Function(
            logical_id=logical_id,
            name=name,
            handler=deployed["Handler"],
            code="",
            layers=(),
            environment={key: value for key, value in variables.items() if key != _PROXY_VARIABLE},
            timeout_seconds=deployed["Timeout"],
            memory_megabytes=deployed["MemorySize"],
        ),
        arn=deployed["FunctionArn"],
        reserved=None if reserved is None else int(reserved),
        log_format=str(logging.get("LogFormat", "Text")),
        log_level=str(logging.get("ApplicationLogLevel", "")),
    )
