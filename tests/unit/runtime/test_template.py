"""The intrinsic functions that local runs need, and clear errors for intrinsic functions that are not supported."""

from pathlib import Path
from typing import Any

import pytest

from infra.runtime.functions import find_function, read_functions, short_name
from infra.runtime.resources import table_definition
from infra.runtime.template import Resolver, TemplateInvalid, read_template

HEAD = """
Parameters:
  Stage: {Type: String, Default: dev}
  Origins: {Type: CommaDelimitedList, Default: "a, b"}
  Needed: {Type: String}
Mappings: {Sizes: {dev: {memory: 256}}}
Conditions:
  IsDev: !Equals [!Ref Stage, dev]
  IsSmall: !And [!Condition IsDev, !Not [!Equals [!Select [0, !Ref Origins], z]]]
  IsOther: !Or [!Equals [!Ref Stage, staging], !Equals [!Ref Stage, prod]]
Resources:
  Table: {Type: "AWS::DynamoDB::Table", Properties: {}}
  Value:
    Type: Test
    Properties:
      X: """


def resolve(tmp_path: Path, text: str, **parameters: str) -> Any:
    path = tmp_path / "template.yaml"
    path.write_text(HEAD + text + "\n")
    resolver = Resolver(read_template(path), parameters, {"Table": {"Ref": "t-1", "Arn": "arn:t-1"}})
    return resolver.resolve(resolver.template["Resources"]["Value"]["Properties"]).get("X", "nothing")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Stage", "dev"),
        ("!Ref Origins", ["a", "b"]),
        ("!Ref Table", "t-1"),
        ("!Ref Value", "Value"),
        ("!Ref AWS::Region", "eu-central-1"),
        ("!GetAtt Table.Arn", "arn:t-1"),
        ("!GetAtt Table.StreamArn", "Table.StreamArn"),
        ('!Sub "${Stage}-${Table}-${Table.Arn}-${!x}"', "dev-t-1-arn:t-1-${x}"),
        ('!Sub ["${A}/${Stage}", {A: !Ref Table}]', "t-1/dev"),
        ("!If [IsSmall, 1, 2]", 1),
        ("!If [IsOther, 1, !Ref AWS::NoValue]", "nothing"),
        ('!Join [",", [!Ref Stage, b]]', "dev,b"),
        ('!Select [1, !Split ["-", a-b]]', "b"),
        ("!FindInMap [Sizes, !Ref Stage, memory]", 256),
        ("[{Ref: Stage}, !If [IsDev, !Ref AWS::NoValue, 1]]", ["dev"]),
    ],
)
def test_resolves(tmp_path: Path, text: str, value: object) -> None:
    assert resolve(tmp_path, text) == value


def test_parameters_change_conditions(tmp_path: Path) -> None:
    assert resolve(tmp_path, "!If [IsOther, 1, 2]", Stage="prod") == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("!Ref Nothing", "Nothing not found"),
        ("!Ref Needed", "parameter Needed has no value"),
        ("!If [Nothing, 1, 2]", "condition Nothing not found"),
        ("!ImportValue x", "Fn::ImportValue is not supported"),
        ("[", "template.yaml: "),
    ],
)
def test_refuses_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(TemplateInvalid, match=reason) as refused:
        resolve(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_missing_or_empty_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateInvalid, match=r"template\.yaml"):
        read_template(tmp_path / "template.yaml")
    (tmp_path / "template.yaml").write_text("a: 1")
    with pytest.raises(TemplateInvalid, match="no Resources"):
        read_template(tmp_path / "template.yaml")


def test_functions_of_the_template_as_lambda_runs_them() -> None:
    functions = read_functions(Resolver(read_template(), {"LogLevel": "DEBUG"}, {"Table": {"Ref": "t-1"}}))
    chat = find_function(functions, "chat")
    assert chat.streams
    assert (chat.code, chat.timeout_seconds) == ("functions/chat/", 900)
    assert (chat.environment["TABLE_NAME"], chat.environment["LOG_LEVEL"]) == ("t-1", "DEBUG")
    assert chat.layers == ("DepsLayer", "CoreLayer")
    stream = find_function(functions, "usage_stream")
    assert (short_name(stream), stream.streams) == ("usage_stream", False)
    assert find_function(functions, "UsageStreamFunction") is stream
    assert {short_name(function) for function in functions.values()} >= {"authorizer", "chat", "sessions", "sweep"}


def test_unknown_function_is_refused_with_those_there_are() -> None:
    functions = read_functions(Resolver(read_template()))
    with pytest.raises(
        TemplateInvalid, match="function nothing not found; known functions: admin, archive, authorizer"
    ):
        find_function(functions, "nothing")


def test_table_definition_has_keys_indexes_and_stream() -> None:
    definition = table_definition(Resolver(read_template()))
    assert {index["IndexName"] for index in definition["GlobalSecondaryIndexes"]} == {"gsi1", "gsi2", "sweep", "login"}
    assert definition["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert "SSESpecification" not in definition
