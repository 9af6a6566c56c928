"""Recorded events are masked, rejections are counted, and exports can be parsed."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from atrium.audit.model import DETAILS_BYTES_MAX
from atrium.audit.query import make_query
from atrium.kernel.errors import ValidationFailed
from atrium.kernel.pagination import PageRequest
from atrium.storage.table import PhysicalTable

from tests.builders.runtimes import NOON
from tests.builders.tenant_env import context_of
from tests.unit.audit.audit_env import ANN, BOB, AuditEnv


@pytest.fixture
def audit_env(physical_table: PhysicalTable) -> AuditEnv:
    return AuditEnv(physical_table)


def test_masks_everything_from_the_caller(audit_env: AuditEnv) -> None:
    context = context_of(ANN)
    caller = replace(context.caller, source_ip="203.0.113.9", user_agent="bot 4111111111111111 " + "x" * 500)
    audit = audit_env.audit(context=replace(context, caller=caller))
    audit.record_tool_call(
        "transfer",
        "2",
        {"to": "ann@example.com", "password": "hunter2", "card": 4111111111111111},
        result_length=12,
        is_error=False,
        duration_ms=7,
        session_id="ses_1",
        end_user="13800138000",
    )
    [event] = audit.list(audit_env.ask(tool="transfer"), PageRequest()).items
    assert event.details == {
        "tool": "transfer",
        "version": "2",
        "arguments": {"to": "[EMAIL]", "password": "[API_KEY]", "card": "[CARD_NUMBER]"},
        "result_length": 12,
        "is_error": False,
        "duration_ms": 7,
    }
    assert event.origin.principal == f"user:{ANN}"
    assert event.origin.ip == "203.0.113.9"
    assert event.origin.user_agent.startswith("bot [CARD_NUMBER] xx")
    assert len(event.origin.user_agent) < 300
    assert event.end_user == "[PHONE]"
    assert event.session_id == "ses_1"


def test_truncates_long_details(audit_env: AuditEnv) -> None:
    audit_env.audit().record("admin.change", {"note": "\ud800 " + "é" * DETAILS_BYTES_MAX})
    [event] = audit_env.audit().list(audit_env.ask(), PageRequest()).items
    assert event.details["truncated"] is True
    assert str(event.details["beginning"]).startswith('{"note": "? éé')


def test_aggregates_refusals_per_principal_limit_and_minute(audit_env: AuditEnv) -> None:
    def refuse(owner: str, limit: str, times: int) -> None:
        for _ in range(times):
            audit_env.audit(owner).count_refusal(limit, {"max": 60})

    refuse(ANN, "requests_per_minute", 20)
    refuse(ANN, "concurrent_turns", 3)
    refuse(BOB, "requests_per_minute", 2)
    audit_env.clock.advance(60)
    refuse(ANN, "requests_per_minute", 1)
    events = audit_env.audit().list(audit_env.ask(type="quota.refuse"), PageRequest()).items
    counted = {(event.origin.principal, event.details["limit"], event.at.minute): event.count for event in events}
    assert counted == {
        (f"user:{ANN}", "requests_per_minute", 0): 20,
        (f"user:{ANN}", "concurrent_turns", 0): 3,
        (f"user:{BOB}", "requests_per_minute", 0): 2,
        (f"user:{ANN}", "requests_per_minute", 1): 1,
    }
    assert all(event.details["max"] == 60 for event in events)
    [page] = audit_env.pages(audit_env.ask(user_id=BOB), 10)
    assert [event.count for event in page] == [2]


def test_export_as_json_lines(audit_env: AuditEnv) -> None:
    for number in range(130):
        audit_env.audit(ANN).record("auth.login", {"number": number, "text": "line\nbreak ü"}, session_id="ses_1")
        audit_env.clock.advance(1)
    lines = list(audit_env.audit().export(audit_env.ask(), "jsonl"))
    rows = [json.loads(line) for line in lines]
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    assert [row["details"]["number"] for row in rows] == list(range(129, -1, -1))
    assert rows[-1] == {
        "time": "2026-11-21T12:00:00.000Z",
        "type": "auth.login",
        "principal": f"user:{ANN}",
        "session_id": "ses_1",
        "details": {"number": 0, "text": "line\nbreak ü"},
        "ip": None,
        "user_agent": None,
        "count": 1,
        "end_user": None,
        "request_id": "request-1",
    }


def test_export_as_csv_contains_no_formula(audit_env: AuditEnv) -> None:
    audit_env.audit(ANN).record("auth.login", {"a": '=1,"2"'}, session_id="=HYPERLINK(1)", end_user="-x")
    text = "".join(audit_env.audit().export(audit_env.ask(), "csv"))
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert row["session_id"] == "'=HYPERLINK(1)"
    assert row["end_user"] == "'-x"
    assert json.loads(row["details"]) == {"a": '=1,"2"'}
    assert row["count"] == "1"
    assert row["ip"] == ""


def test_an_empty_export_has_the_column_names(audit_env: AuditEnv) -> None:
    assert list(audit_env.audit().export(audit_env.ask(), "jsonl")) == []
    assert [line.split(",")[0] for line in audit_env.audit().export(audit_env.ask(), "csv")] == ["time"]


@pytest.mark.parametrize(
    ("name", "wishes"),
    [
        ("type", {"type": "auth.nothing"}),
        ("type", {"type": ""}),
        ("user_id", {"user_id": "ann"}),
        ("user_id", {"user_id": "usr_1#2"}),
        ("user_id", {"user_id": ""}),
        ("from", {"since": NOON, "until": NOON - timedelta(seconds=1)}),
        ("from", {"since": NOON - timedelta(days=1_000)}),
    ],
)
def test_rejects_invalid_queries(name: str, wishes: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        make_query(now=NOON, **wishes)  # type: ignore[arg-type] # invalid on purpose
    errors = refused.value.extensions["errors"]
    assert isinstance(errors, list)
    assert errors[0]["loc"] == ["query", name]
