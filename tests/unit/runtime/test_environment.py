"""The env file changes only variables that the template declares, like `sam local invoke --env-vars`."""

from pathlib import Path

import pytest

from infra.runtime.environment import override, read_overrides
from infra.runtime.template import TemplateInvalid
from tests.artifacts.builders import handler_artifact


def test_own_values_win_over_those_for_all_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    function = handler_artifact(tmp_path, A="template", B="template", C="template").function
    file = tmp_path / "env.json"
    file.write_text('{"Parameters": {"A": "all", "B": "all", "UNKNOWN": "x"}, "PlainFunction": {"B": 1}}')
    assert override(function, read_overrides(file)) == {"A": "all", "B": "1", "C": "template"}


@pytest.mark.parametrize("text", ["", "[]", '{"Parameters": 1}', "{"])
def test_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "env.json"
    file.write_text(text)
    with pytest.raises(TemplateInvalid, match=r"env\.json is not an env file"):
        read_overrides(file)
