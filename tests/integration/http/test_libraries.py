"""Libraries log only warnings and errors.

At lower levels, libraries would log a line for each call, and at level DEBUG also the bodies.
"""

import logging
from collections.abc import Iterator

import pytest
from atrium.bootstrap import LIBRARIES, Runtime, runtime
from atrium.http.handler import make_handler
from atrium.kernel.ids import TenantId
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable

from functions.authorizer import app
from tests.builders.gateway import TENANT_ID, LambdaContext, rest_event, tenant_fields
from tests.builders.runtimes import build_runtime
from tests.builders.things import build_things


@pytest.fixture
def levels() -> Iterator[None]:
    """Restore the log levels of the libraries after the test, because they are global to the process."""
    before = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def made(levels: None, monkeypatch: pytest.MonkeyPatch, physical_table: PhysicalTable) -> Iterator[Runtime]:
    """The runtime, created from environment variables as in a function."""
    monkeypatch.setenv("TABLE_NAME", physical_table.name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", physical_table.client.meta.region_name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    runtime.cache_clear()
    yield runtime()
    runtime.cache_clear()


def test_a_call_and_the_table_leave_no_line_of_a_library(made: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    TenantTable(made.table, TenantId(TENANT_ID)).get(keys.tenant())
    things, _ = build_things(build_runtime())
    body = {"name": "private"}
    answer = make_handler(things)(rest_event("POST", "/v1/things", fields=tenant_fields(), body=body), LambdaContext())
    assert answer["statusCode"] == 201
    assert {record.name.partition(".")[0] for record in caplog.records} & set(LIBRARIES) == set()
    logging.getLogger("botocore.retries").warning("a warning is told")
    assert caplog.records[-1].name == "botocore.retries"


def test_the_authorizer_quiets_them_too(levels: None, made: Runtime) -> None:
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG)
    app._authorizer.cache_clear()
    app._authorizer()
    app._authorizer.cache_clear()
    assert {logging.getLogger(name).level for name in LIBRARIES} == {logging.WARNING}
