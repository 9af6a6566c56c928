"""Definitions of HTTP tools that are accepted and rejected."""

from typing import Any

import pytest
from atrium.kernel.errors import ValidationFailed
from atrium.tools.http.service import HttpToolService

from tests.builders.http_tools import http_tools, tool_fields
from tests.builders.tenant_env import TenantEnv

KEY = {"KEY": "a-secret-value"}


@pytest.fixture
def service(tenant_env: TenantEnv) -> HttpToolService:
    return http_tools(tenant_env)


def fault_of(service: HttpToolService, fields: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        service.create(fields)
    errors: Any = caught.value.extensions["errors"]
    return ".".join(errors[0]["loc"][1:]), errors[0]["msg"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://api.example/{city}", "scheme https"),
        ("ftp://api.example/{city}", "scheme must be"),
        ("/weather/{city}", "scheme must be|valid host"),
        ("https://{city}/", "placeholders only in its path"),
        ("https://api.{city}.example/", "placeholders only in its path"),
        ("https://api.example:{city}/", "placeholders only in its path"),
        ("{city}://api.example/", "scheme|placeholders"),
        ("https:/{city}/evil.example/", "valid host"),
        ("https://{city}@api.example/", "placeholders only in its path"),
        ("https://user:password@api.example/{city}", "user name or password"),
        ("https://api.example/?{city}=1", "placeholders only in its path"),
        ("https://api.example/{city}#{days}", "without a fragment"),
        ("https://api.example/ {city}", "visible ASCII"),
        ("https://api.example/\\{city}", "backslashes"),
        ("https://api.example:port/{city}", "valid host"),
        ("https://[::1/{city}", "valid host"),
        ("https://api.example/{unknown}", "only arguments of"),
        ("https://api.example/?a=%7Bunknown%7D", "only arguments of"),
        ("https://api.example/{city}/{", "braces only around"),
        ("https://api.example/{{secret.KEY}}", "secrets in its path"),
        ("https://api.example/?a={{secret.no-name}}", "write a secret as"),
    ],
)
def test_rejects_urls(service: HttpToolService, url: str, reason: str) -> None:
    field, message = fault_of(service, tool_fields(url, secrets=KEY))
    assert field == "http.url"
    assert any(each in message for each in reason.split("|"))


@pytest.mark.parametrize(
    ("wishes", "field", "reason"),
    [
        ({"name": "calculator"}, "name", "built-in"),
        ({"name": "done"}, "name", "built-in"),
        ({"input_schema": {"type": "string"}}, "input_schema", "`object`"),
        ({"body": {"a": "{city}"}}, "http.body", "GET"),
        ({"headers": {"host": "evil.example"}}, "http.headers", "reserved"),
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, "http.headers", "malformed"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "http.headers", "different names"),
        ({"headers": {"Idempotency-Key": "1"}}, "http.headers", "platform sets"),
        ({"headers": {"x-city": "{city}"}}, "http.headers", "arguments"),
        ({"headers": {"Authorization": "Bearer abc"}}, "http.headers", "must use a secret in authorization"),
        ({"headers": {"x-a": "{{secret.OTHER}}"}}, "secrets", "must contain OTHER"),
        ({"query": {"a": "{unknown}"}}, "http.query", "only arguments of"),
        ({"query": {"a": "about {days}"}}, "input_schema", "`required`"),
        ({"method": "POST", "body": ["about {days}"]}, "input_schema", "`required`"),
        ({"method": "POST", "body": {"a": [{"b": "{unknown}"}]}}, "http.body", "only arguments of"),
        ({"method": "POST", "body": ["x" * 19_900]}, "http", "at most 20000 bytes"),
        ({"secrets": {f"K{number}": "a-secret-value" for number in range(11)}}, "secrets", "at most 10"),
    ],
)
def test_rejects_other_fields(service: HttpToolService, wishes: dict[str, Any], field: str, reason: str) -> None:
    found, message = fault_of(service, tool_fields(**wishes))
    assert found == field
    assert reason in message


def test_accepts_optional_arguments_where_they_can_be_omitted(service: HttpToolService) -> None:
    body = {"days": "{days}", "key": "{{secret.KEY}}"}
    fields = tool_fields(
        "https://api.example/{city}?d={days}&k={{secret.KEY}}", method="POST", query={"detail": "{detail}"}, body=body,
        headers={"Authorization": "Bearer {{secret.KEY}}"}, secrets=KEY, effect="effectful",
    )  # fmt: skip
    tool = service.create(fields)
    assert (tool.permission, tool.version, tool.secret_names) == ("write", 1, ("KEY",))
    assert service.get(tool.id) == tool
