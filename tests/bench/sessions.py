"""Measurements of the start of a turn in a short and in a long session, on DynamoDB Local without HTTP."""

from datetime import timedelta
from itertools import batched
from typing import Any, cast

from atrium.kernel.ids import SessionId, mint_run_id, own_ulid
from atrium.storage import keys
from atrium.storage.blobs import Bucket
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import EXISTS, Update

from infra.runtime.resources import Endpoint
from tests.bench.measuring import Figures, Series
from tests.bench.whole import TURNS, Bench
from tests.builders.tenant_env import TENANT, run_id_of

SHORT, LONG = 10, 5_000
"""Numbers of messages of the two sessions."""
_BATCH = 25


def measure_sessions(physical: PhysicalTable, baseline: Series) -> dict[str, Figures]:
    """Return the measurements of a start, from the request to the event `start`, and the ratio of the two sessions."""
    bench = Bench(physical, Bucket(cast("Any", None), "none"))
    bench.add_tenant(TENANT, "enterprise")  # its sessions have no maximum length
    series = [Series(f"{count} messages") for count in (SHORT, LONG)]
    long_session = _open_session(bench, LONG // 2)
    for number in range(TURNS):
        for each, session in zip(series, (_open_session(bench, SHORT // 2), long_session), strict=True):
            bench.clock.advance(1)
            turn = each.measure(physical, bench.begin, f"message {number}", session_id=session)
            list(turn.events())
    short, long = (each.figures(baseline) for each in series)
    ratio = {name: round(value / short[name], 2) if short[name] else 0 for name, value in long.items()}
    return {series[0].name: short, series[1].name: long, "ratio": ratio}


def _open_session(bench: Bench, turns: int) -> SessionId:
    """Create a session with this number of ended turns, which are copies of one turn with earlier times."""
    session_id = bench.open_session()
    run_id = run_id_of(bench.talk("What is the capital of Portugal?", session_id=session_id))
    client, name = Endpoint(bench.physical.client.meta.endpoint_url).client("dynamodb"), bench.physical.name
    key = keys.run(run_id)
    place: Any = {"pk": {"S": f"TENANT#{TENANT}#{key.partition}"}, "sk": {"S": key.sort}}
    run, old = client.get_item(TableName=name, Key=place)["Item"], own_ulid(run_id)
    for numbers in batched(range(1, turns), _BATCH, strict=False):
        puts: list[Any] = []
        for number in numbers:
            new = own_ulid(mint_run_id(bench.clock() - timedelta(seconds=number), session_id))
            copied = {
                attribute: {"S": value["S"].replace(old, new)} if "S" in value else value
                for attribute, value in run.items()
            }
            puts.append({"PutRequest": {"Item": copied}})
        assert not client.batch_write_item(RequestItems={name: puts})["UnprocessedItems"]
    bench.table().write(Update(keys.session(session_id), "SET #turn_count = :turns", EXISTS, {"turns": turns}))
    return session_id
