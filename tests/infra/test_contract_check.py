"""The contract check compares openapi.json and the template in both directions."""

from infra.checks.contract import PAGES, check_contract
from infra.checks.routes import read_routes
from infra.runtime.template import Document


def _contract(template: Document) -> Document:
    """Return an OpenAPI document with exactly the deployed routes."""
    paths: Document = {}
    for route in read_routes(template):
        if (route.method, route.path) not in PAGES and route.method != "HEAD":
            operation: Document = {"security": []} if route.is_public else {}
            paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {"openapi": "3.1.0", "security": [{"bearer": []}], "paths": paths}


def test_a_document_of_the_same_routes_passes(template: Document) -> None:
    assert list(check_contract(template, _contract(template))) == []


def test_without_a_document_there_is_nothing_to_compare(template: Document) -> None:
    assert list(check_contract(template, None)) == []


def test_a_route_that_is_only_deployed_is_found(template: Document) -> None:
    contract = _contract(template)
    del contract["paths"]["/v1/keys/{key_id}"]["patch"]

    assert list(check_contract(template, contract)) == ["PATCH /v1/keys/{key_id} is deployed but not in openapi.json"]


def test_a_route_that_is_only_documented_is_found(template: Document) -> None:
    contract = _contract(template)
    contract["paths"]["/v1/teapots"] = {"parameters": [], "get": {}}

    assert list(check_contract(template, contract)) == ["GET /v1/teapots is in openapi.json but not deployed"]


def test_a_different_credential_requirement_is_found(template: Document) -> None:
    contract = _contract(template)
    contract["paths"]["/v1/usage"]["get"]["security"] = []

    findings = list(check_contract(template, contract))

    assert findings == ["GET /v1/usage: the document and the template disagree on whether it needs a credential"]
