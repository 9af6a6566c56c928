"""The three environments in samconfig.toml match the template."""

import tomllib

import pytest

from infra.runtime.template import ROOT, Document

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
ENVIRONMENTS = ("dev", "staging", "prod")


def _deploy(environment: str) -> Document:
    return dict(CONFIG[environment]["deploy"]["parameters"])


def _overrides(environment: str) -> dict[str, str]:
    return dict(item.split("=", 1) for item in _deploy(environment)["parameter_overrides"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_overrides_name_parameters_and_the_environment(environment: str, template: Document) -> None:
    overrides = _overrides(environment)

    assert overrides["Environment"] == environment
    for name, value in overrides.items():
        allowed = template["Parameters"][name].get("AllowedValues")
        assert allowed is None or value in {str(choice) for choice in allowed}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_names_no_bucket_and_distinct_stacks(environment: str) -> None:
    parameters = _deploy(environment)

    assert parameters["resolve_s3"] is True
    assert "s3_bucket" not in parameters
    assert parameters["stack_name"] == f"atrium-{environment}"
    assert f"environment={environment}" in parameters["tags"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_transforms_are_allowed_to_expand(environment: str) -> None:
    assert _deploy(environment)["capabilities"] == "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"


def test_no_environment_reserves_more_than_a_new_account_has() -> None:
    reserving = {"AuthorizerConcurrency", "IdentityConcurrency", "ChatConcurrency"}

    assert [environment for environment in ENVIRONMENTS if reserving & _overrides(environment).keys()] == []


def test_prod_rolls_back_automatically_and_uses_snapshots() -> None:
    assert {name: _overrides("prod")[name] for name in ("Canary", "SnapStart")} == {
        "Canary": "true",
        "SnapStart": "true",
    }


def test_only_prod_asks_before_it_changes() -> None:
    asks = {environment: _deploy(environment)["confirm_changeset"] for environment in ENVIRONMENTS}

    assert asks == {"dev": False, "staging": False, "prod": True}
