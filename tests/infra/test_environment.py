"""The functions get exactly the environment variables that the settings read."""

from collections.abc import Iterator, Mapping

import pytest
from atrium.settings import Settings

from infra.runtime.functions import read_functions
from infra.runtime.template import Document, Resolver

EVERY_OPTION = {
    "AnthropicBaseUrl": "http://127.0.0.1:9",
    "DefaultTenant": "ten_" + "0" * 26,
    "ModelProvider": "bedrock",
    "OpenaiBaseUrl": "http://127.0.0.1:9/v1",
    "PublicUrl": "https://api.example.com",
    "ZhipuBaseUrl": "http://127.0.0.1:9/v1",
}
# Prefixes of variables that Powertools, the web adapter and the SDKs read.
OTHERS = ("AWS_", "POWERTOOLS_", "LOG_LEVEL")
# Variables that the template does not set. On AWS, the API key is in a secret.
BY_HAND = {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "ZHIPU_API_KEY", "EGRESS_LOCAL_ADDRESSES"}


class Reading(Mapping[str, str]):
    """An environment that records which variables are read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@pytest.mark.parametrize("options", [{}, EVERY_OPTION], ids=["defaults", "every option"])
def test_every_variable_is_one_that_the_settings_read(template: Document, options: dict[str, str]) -> None:
    for function in read_functions(Resolver(template, options)).values():
        reading = Reading(function.environment)
        Settings.read(reading)
        own = {name for name in function.environment if not name.startswith(OTHERS)}
        assert own <= reading.asked, function.logical_id


def test_every_setting_reaches_a_function(template: Document) -> None:
    functions = read_functions(Resolver(template, EVERY_OPTION)).values()
    reading = Reading({})
    Settings.read(reading)

    assert reading.asked - BY_HAND == {
        name for function in functions for name in function.environment if not name.startswith(OTHERS)
    }


def test_the_environment_of_the_deployment_is_the_functions(template: Document) -> None:
    for function in read_functions(Resolver(template, {"Environment": "staging"})).values():
        assert Settings.read(function.environment).environment == "staging"
