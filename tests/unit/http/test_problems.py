"""Every error of the error catalogue is rendered as a problem response without internal details."""

import json

import pytest
from atrium.http.problems import from_http_exception, render_problem
from atrium.http.validation import from_validation
from atrium.kernel.errors import AtriumError, Extension, LimitReached, Malformed, NotFound, ValidationFailed, catalogue
from starlette.exceptions import HTTPException


@pytest.mark.parametrize("kind", catalogue(), ids=lambda kind: kind.__name__)
def test_every_error_renders(kind: type[AtriumError]) -> None:
    answer = render_problem(kind(internal="hush-hush"), request_id="r1", public_url="https://a.example")
    body = json.loads(bytes(answer.body))
    assert answer.status_code == body["status"] == kind.status
    assert body["type"] == f"https://a.example/docs/errors/{kind.code}"
    assert body["retryable"] is kind.retryable
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == "r1"
    assert b"hush" not in bytes(answer.body)
    assert answer.headers.get("retry-after") == ("1" if kind.status == 503 else None)


def test_a_quota_error_names_limit_and_reset_time() -> None:
    members: dict[str, Extension] = {
        "limit": "tokens_per_month",
        "used": 100,
        "max": 100,
        "resets_at": "2026-12-01T00:00:00.000Z",
    }
    answer = render_problem(LimitReached(retry_after_seconds=30, extensions=members), request_id="r1", public_url="")
    assert members.items() <= json.loads(bytes(answer.body)).items()
    assert answer.headers["retry-after"] == "30"
    assert json.loads(bytes(answer.body))["retryable"] is True


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "MALFORMED"), (404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED"), (413, "PAYLOAD_TOO_LARGE"),
     (415, "UNSUPPORTED_MEDIA_TYPE"), (418, "INTERNAL")],
)  # fmt: skip
def test_translates_errors_of_the_framework(status: int, code: str) -> None:
    error = from_http_exception(HTTPException(status, "framework's words"))
    assert error.code == code
    assert "framework's words" not in error.detail


def test_unparsable_json_is_malformed() -> None:
    assert isinstance(from_validation([{"type": "json_invalid", "loc": ("body", 0), "msg": "m"}]), Malformed)


def test_a_path_that_cannot_be_an_id_is_not_found() -> None:
    errors = [
        {"type": "string_pattern_mismatch", "loc": ("path", "id"), "msg": "m"},
        {"type": "missing", "loc": ("body",), "msg": "m"},
    ]
    assert isinstance(from_validation(errors), NotFound)


def test_truncates_long_names() -> None:
    error = from_validation([{"type": "t", "loc": ("body", "x" * 5000, 3), "msg": "m"}])
    assert isinstance(error, ValidationFailed)
    assert error.extensions["errors"] == [{"loc": ["body", "x" * 100, 3], "msg": "is not valid", "type": "t"}]
