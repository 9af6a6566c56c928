"""The sweeper's function: what it closes, what it counts, and what it says of what it could not close."""

import pytest
from atrium.quotas.model import LEASE_SECONDS
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from functions.events.sweep import sweep_runs
from tests.builders.house import OTHER_TENANT, House, context_of
from tests.builders.runtimes import build_runtime


def sweep(house: House) -> dict[str, int]:
    runtime = build_runtime(table=house.physical, clock=house.clock)()
    runtime.__dict__["bucket"] = house.bucket
    return sweep_runs(runtime)


def test_runs_of_all_tenants_whose_worker_died_are_closed(house: House) -> None:
    dead = [house.begin(), house.begin(context=context_of(tenant=OTHER_TENANT))]
    house.clock.turn(LEASE_SECONDS + 2)
    alive = house.begin()
    assert sweep(house) == {"looked_at": 3, "closed": 2, "returned": 0, "failed": 0}
    for tenant, turn in zip((house.table().tenant_id, OTHER_TENANT), dead, strict=True):
        run = house.runs(tenant).get(turn.run.id)
        assert run is not None
        assert (run.status, run.is_open) == ("failed", False)
    assert house.run_service().get(alive.run.id).is_open
    assert sweep(house) == {"looked_at": 1, "closed": 0, "returned": 0, "failed": 0}


def test_what_cannot_be_closed_is_logged_without_its_text(house: House, caplog: pytest.LogCaptureFixture) -> None:
    run = house.begin().run
    house.table().write(Update(keys.run(run.id), "SET #question = :broken", EXISTS, {"broken": b"private words"}))
    house.clock.turn(LEASE_SECONDS + 2)
    assert sweep(house) == {"looked_at": 1, "closed": 0, "returned": 0, "failed": 1}
    (told,) = [record.__dict__ for record in caplog.records if record.levelname == "ERROR"]
    assert (told["tenant_id"], told["run_id"], told["error"]) == (house.table().tenant_id, run.id, "error")
    assert "private words" not in str([record.__dict__ for record in caplog.records])
