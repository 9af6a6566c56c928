"""Reads template.yaml and resolves the values that functions and local resources need.

Intrinsic functions are computed with the given parameters and resource attributes (`Ref`, `Arn`, …). An unknown `Ref`
resolves to the logical id, and an unknown attribute to `<id>.<attribute>`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"

# CloudFormation documents have no static type.
type Document = dict[str, Any]
type Attributes = Mapping[str, Mapping[str, str]]

PSEUDO = {
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::StackName": "atrium-local",
    "AWS::StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/atrium-local/local",
    "AWS::URLSuffix": "amazonaws.com",
}
_PLACE = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateInvalid(Exception):
    """Raised if the template cannot be read, or refers to something that it does not contain."""


class _Loader(yaml.SafeLoader):
    """A YAML loader that supports CloudFormation's short tags."""


def _construct(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Document:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None}


_Loader.add_multi_constructor("!", _construct)


def read_template(path: Path = TEMPLATE) -> Document:
    """Read a template and expand its short tags. Raises TemplateInvalid if the file is not a template."""
    try:
        document = yaml.load(path.read_text(), _Loader)
    except (OSError, yaml.YAMLError) as error:
        raise TemplateInvalid(f"{path.name}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or "Resources" not in document:
        raise TemplateInvalid(f"{path.name}: no Resources")
    return document


@dataclass
class Resolver:
    """Computes the intrinsic functions of one template."""

    template: Document
    parameters: Mapping[str, str] = field(default_factory=dict)
    attributes: Attributes = field(default_factory=dict)

    def resolve(self, value: Any) -> Any:
        """Return a value with its intrinsic functions resolved. An entry with the value `AWS::NoValue` is removed."""
        if isinstance(value, list):
            items = [self.resolve(item) for item in value]
            return [item for item in items if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref":
                return self._ref(str(argument))
            if name.startswith("Fn::"):
                return self._call(name[4:], argument)
        entries = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in entries.items() if item is not _NOTHING}

    def holds(self, condition: str) -> bool:
        """Return whether a named condition is true."""
        try:
            return self._truth(self.template["Conditions"][condition])
        except KeyError:
            raise TemplateInvalid(f"condition {condition} not found") from None

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        parameter = self.template.get("Parameters", {}).get(name)
        if parameter is not None:
            given = self.parameters.get(name, parameter.get("Default"))
            if given is None:
                raise TemplateInvalid(f"parameter {name} has no value")
            is_list = parameter.get("Type", "") == "CommaDelimitedList"
            return [part.strip() for part in str(given).split(",")] if is_list else str(given)
        # SAM's syntax, such as `Ref: SomeFunction.Alias`.
        resource, _, attribute = name.partition(".")
        if resource not in self.template["Resources"]:
            raise TemplateInvalid(f"{name} not found: no resource or parameter has this name")
        return self.attributes.get(resource, {}).get(attribute or "Ref", name)

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Sub":
                value: Any = self._sub(argument)
            case "GetAtt":
                resource, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                value = self.attributes.get(resource, {}).get(attribute, f"{resource}.{attribute}")
            case "If":
                condition, yes, no = argument
                value = self.resolve(yes if self.holds(condition) else no)
            case "Join":
                value = str(argument[0]).join(str(part) for part in self.resolve(argument[1]))
            case "Select":
                value = self.resolve(argument[1])[int(self.resolve(argument[0]))]
            case "Split":
                value = str(self.resolve(argument[1])).split(str(argument[0]))
            case "FindInMap":
                top, second, third = (str(self.resolve(part)) for part in argument[:3])
                value = self.template["Mappings"][top][second][third]
            case _:
                raise TemplateInvalid(f"Fn::{name} is not supported")
        return value

    def _sub(self, argument: Any) -> str:
        text, own = (argument[0], argument[1]) if isinstance(argument, list) else (argument, {})

        def replace(place: re.Match[str]) -> str:
            literal, name = place.group(1), place.group(2).strip()
            if literal:
                return "${" + name + "}"
            if name in own:
                return str(self.resolve(own[name]))
            return str(self._call("GetAtt", name) if "." in name else self._ref(name))

        return _PLACE.sub(replace, text)

    def _truth(self, test: Any) -> bool:
        name, argument = next(iter(test.items()))
        match name:
            case "Fn::Equals":
                return str(self.resolve(argument[0])) == str(self.resolve(argument[1]))
            case "Fn::Not":
                return not self._truth(argument[0])
            case "Fn::And":
                return all(self._truth(part) for part in argument)
            case "Fn::Or":
                return any(self._truth(part) for part in argument)
            case "Condition":
                return self.holds(argument)
            case _:
                raise TemplateInvalid(f"{name} is not a condition")


_NOTHING = object()
