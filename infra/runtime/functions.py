"""Reads the template's functions with their handler, code, layers, environment variables and timeout."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.runtime.template import Document, Resolver, TemplateInvalid

FUNCTION_TYPE = "AWS::Serverless::Function"
LAYER_TYPE = "AWS::Serverless::LayerVersion"


@dataclass(frozen=True)
class Function:
    """A function. `layers` are the logical ids of the layers that the template defines, in order.

    `declared` contains the names of all variables, including those that a condition removes from `environment`.
    """

    logical_id: str
    name: str
    handler: str
    code: str
    layers: tuple[str, ...]
    environment: Mapping[str, str]
    timeout_seconds: int
    memory_megabytes: int
    declared: frozenset[str] = frozenset()

    @property
    def streams(self) -> bool:
        """Return whether the function is a web server behind the Lambda Web Adapter."""
        return self.environment.get("AWS_LAMBDA_EXEC_WRAPPER") == "/opt/bootstrap"


def read_functions(resolver: Resolver) -> dict[str, Function]:
    """Return the template's functions by logical id, with Globals merged in the same way as in SAM."""
    template = resolver.template
    shared = template.get("Globals", {}).get("Function", {})
    found = {
        logical_id: _read(logical_id, resource["Properties"], shared, resolver)
        for logical_id, resource in template["Resources"].items()
        if resource.get("Type") == FUNCTION_TYPE
        and ("Condition" not in resource or resolver.holds(resource["Condition"]))
    }
    if not found:
        raise TemplateInvalid("the template has no function")
    return found


def find_function(functions: Mapping[str, Function], name: str) -> Function:
    """Return the function with this logical id or short name, such as `chat` or `usage_stream`.

    Raises TemplateInvalid if the function does not exist.
    """
    if name in functions:
        return functions[name]
    wanted = name.lower().replace("_", "").replace("-", "").replace(".", "")
    for function in functions.values():
        if function.logical_id.lower() == f"{wanted}function":
            return function
    known = ", ".join(sorted(short_name(function) for function in functions.values()))
    raise TemplateInvalid(f"function {name} not found; known functions: {known}")


def short_name(function: Function) -> str:
    """Return the name that `make invoke` and tests/events use, such as `usage_stream` for UsageStreamFunction."""
    words = function.logical_id.removesuffix("Function")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in words).lstrip("_")


def _read(logical_id: str, own: Document, shared: Document, resolver: Resolver) -> Function:
    merged = {**shared, **own}
    variables = {
        **shared.get("Environment", {}).get("Variables", {}),
        **own.get("Environment", {}).get("Variables", {}),
    }
    layers = [*shared.get("Layers", []), *own.get("Layers", [])]
    resources = resolver.template["Resources"]
    local = [layer["Ref"] for layer in layers if isinstance(layer, dict) and "Ref" in layer]
    name = resolver.resolve(own.get("FunctionName", logical_id))
    return Function(
        logical_id=logical_id,
        name=str(name),
        handler=str(resolver.resolve(merged["Handler"])),
        code=str(merged["CodeUri"]),
        layers=tuple(layer for layer in local if resources[layer]["Type"] == LAYER_TYPE),
        environment={key: _text(value) for key, value in resolver.resolve(variables).items()},
        timeout_seconds=int(resolver.resolve(merged.get("Timeout", 3))),
        memory_megabytes=int(resolver.resolve(merged.get("MemorySize", 128))),
        declared=frozenset(variables),
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
