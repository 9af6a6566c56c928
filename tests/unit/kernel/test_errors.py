"""The error catalogue: one class per code and status. Responses contain no internal details."""

import ast

from atrium.kernel.errors import AtriumError, ModelFailed, catalogue, kind_of

from infra.runtime.template import ROOT


def test_has_one_class_per_code_and_status() -> None:
    named = [(kind.code, kind.status) for kind in catalogue() if "code" in vars(kind)]
    assert len(named) == len(set(named))


def test_every_class_has_a_title_and_an_error_status() -> None:
    assert all(400 <= kind.status <= 599 and kind.title for kind in catalogue())


def test_detail_defaults_to_the_title_without_internal_text() -> None:
    error = ModelFailed(internal="the provider said so")
    assert error.detail == ModelFailed.title
    assert "the provider said so" in str(error)


def test_restores_a_recorded_error_as_its_class() -> None:
    found = kind_of("MODEL_FAILED")("as it was told")
    assert (type(found), found.detail, found.status) == (ModelFailed, "as it was told", 502)


def test_retryable_defaults_to_the_class() -> None:
    assert kind_of("MODEL_FAILED")("as it was told").retryable
    assert not kind_of("MODEL_FAILED")("as it was told", retryable=False).retryable
    assert ModelFailed.retryable


def test_restores_an_unknown_code_as_internal_error() -> None:
    found = kind_of("OF_ANOTHER_VERSION")("as it was told")
    assert (type(found), found.status) == (AtriumError, 500)


def test_every_error_is_used() -> None:
    """An error class that is not used would have a documentation page for an error that never occurs."""
    sources = [*(ROOT / "layers/core/atrium").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in sources if path.name != "errors.py"]
    names = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert [kind.__name__ for kind in catalogue() if kind.__name__ not in names] == []
