"""The grants check compares the documented operations with the built-in policies."""

from infra.checks.contract import read_contract
from infra.checks.grants import check_grants
from infra.runtime.template import Document


def _document(path: str, scope: str | None, *, public: bool = False) -> Document:
    operation: Document = {"security": [] if public else [{"bearer": []}], "x-required-scope": scope}
    return {"paths": {path: {"get": operation}}}


def test_the_document_passes() -> None:
    contract = read_contract()
    assert contract is not None
    assert list(check_grants(contract)) == []
    assert list(check_grants(None)) == []


def test_a_route_that_no_policy_grants_is_found() -> None:
    [finding] = check_grants(_document("/v1/teapots", "sessions:read"))
    assert finding == "GET /v1/teapots: no policy of atrium/policy/builtin.py grants it to sessions:read"
    [finding] = check_grants(_document("/v1/teapots", None))
    assert finding.endswith("grants it to every credential")


def test_a_route_that_is_granted_without_its_scope_is_found() -> None:
    [finding] = check_grants(_document("/v1/usage", "agents:read"))
    assert finding == "GET /v1/usage: a policy of atrium/policy/builtin.py grants it without the scope agents:read"


def test_public_and_platform_routes_need_no_policy() -> None:
    assert list(check_grants(_document("/v1/teapots", None, public=True))) == []
    assert list(check_grants(_document("/v1/teapots", "platform"))) == []
