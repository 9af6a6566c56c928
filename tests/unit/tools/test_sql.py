"""`dataset_list` and `sql_query`: only the caller's data sets exist, and the model learns what is wrong."""

import json

import pytest
from atrium.datasets.service import DatasetService
from atrium.datasets.store import DatasetStore
from atrium.kernel.ids import TenantId
from atrium.storage.blobs import TenantBlobs
from atrium.tenants.auditing import open_audit
from atrium.tools.model import ToolContext, ToolRefusal, ToolRetry
from atrium.tools.output import RESULT_CHARACTERS_MAX
from atrium.tools.registry import ToolRegistry
from atrium.tools.sql import DATASET_LIST, SQL_QUERY

from tests.builders.datasets import ORDERS, many_rows
from tests.builders.loops import tool_context
from tests.builders.tenant_env import ADMIN, OTHER_TENANT, OWNER, TENANT, TenantEnv, context_of


def create(
    tenant_env: TenantEnv, name: str, content: str = ORDERS, readers: tuple[str, ...] = (), tenant: TenantId = TENANT
) -> None:
    context = context_of(ADMIN.owner, tenant=tenant, scopes=frozenset({"admin"}))
    store = DatasetStore(tenant_env.table(tenant), TenantBlobs(tenant_env.bucket, tenant))
    audit = open_audit(context, store.table, tenant_env.clock)
    DatasetService(context, store, tenant_env.clock, audit).create(name, "", "csv", content, readers)


def context_with(tenant_env: TenantEnv) -> ToolContext:
    return tool_context(tenant_env.clock, services=tenant_env.services(context_of()))


def test_lists_and_queries_the_callers_data_sets(tenant_env: TenantEnv) -> None:
    create(tenant_env, "orders")
    create(tenant_env, "own", "a\n1\n", readers=(f"user:{OWNER}", f"key:{OWNER}"))
    create(tenant_env, "salaries", readers=("role:admin",))
    create(tenant_env, "theirs", tenant=OTHER_TENANT)
    context = context_with(tenant_env)
    listed = DATASET_LIST.call({}, context)
    assert isinstance(listed, list)
    assert [each["table"] for each in listed] == ["orders", "own"]
    assert listed[0] == {
        "table": "orders",
        "description": "",
        "columns": {"city": "text", "amount": "number", "paid": "boolean"},
        "row_count": 3,
    }
    found = SQL_QUERY.call({"sql": "SELECT count(*) AS n FROM orders, own"}, context)
    assert found == {"columns": ["n"], "rows": [[3]], "truncated": False}
    for name in ("salaries", "theirs", "unknown"):
        with pytest.raises(ToolRetry, match=f"unknown table `{name}`; the tables are `orders`, `own`"):
            SQL_QUERY.call({"sql": f"SELECT * FROM {name}"}, context)


def test_tells_the_model_what_is_wrong(tenant_env: TenantEnv) -> None:
    context = context_with(tenant_env)
    with pytest.raises(ToolRetry, match="there are no data sets that you may read"):
        SQL_QUERY.call({"sql": "SELECT * FROM orders"}, context)
    answer = ToolRegistry([SQL_QUERY]).call("sql_query", {"sql": "DROP TABLE orders"}, context)
    assert answer.is_error
    assert answer.text == "`sql`: only one SELECT statement is allowed, which may begin with WITH"


def test_a_large_result_stays_json(tenant_env: TenantEnv) -> None:
    create(tenant_env, "lines", many_rows(2_000))
    sql = "SELECT a.label AS a, b.label || a.label AS b, a.label || b.label || a.label AS c FROM lines a, lines b"
    answer = ToolRegistry([SQL_QUERY]).call("sql_query", {"sql": sql}, context_with(tenant_env))
    found = json.loads(answer.text)
    assert found["truncated"] is True
    assert 30_000 < len(answer.text) < RESULT_CHARACTERS_MAX


def test_needs_the_platform() -> None:
    with pytest.raises(ToolRefusal, match="only for agents that run on the platform"):
        DATASET_LIST.call({}, tool_context())
