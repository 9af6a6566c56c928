"""A provider whose answers a test scripts as bytes."""

from dataclasses import dataclass

import pytest
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider

from tests.builders.api_env import ApiEnv
from tests.builders.upstream import Upstream, provider_over


@dataclass
class OneProvider:
    """A provider registry in which all models have the same provider."""

    provider: ModelProvider

    def find(self, _model: ModelInfo) -> ModelProvider:
        return self.provider


@pytest.fixture
def upstream(api_env: ApiEnv) -> Upstream:
    """The upstream with scripted answers that the chat function uses as its model server."""
    made = Upstream()
    api_env.runtime.__dict__["providers"] = OneProvider(provider_over(made))
    return made
