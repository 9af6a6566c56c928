"""Fixtures of the infrastructure tests: the template is read once, and each test gets a copy."""

import copy

import pytest

from infra.runtime.template import Document, read_template


@pytest.fixture(scope="session")
def template_as_read() -> Document:
    return read_template()


@pytest.fixture
def template(template_as_read: Document) -> Document:
    return copy.deepcopy(template_as_read)
