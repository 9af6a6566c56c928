"""Asking for less than was wanted where the whole does not fit, and holds that no item records."""

from collections.abc import Callable
from dataclasses import replace

from atrium.quotas.charges import Entry
from atrium.quotas.model import AdmissionRequest, Hold, Refused, Used


def lowered_entries(
    request: AdmissionRequest, entry_of: Callable[[AdmissionRequest], Entry]
) -> Callable[[Refused], Entry | None]:
    """Return what makes of a refusal the entry that may fit; None where it is what was asked for last."""
    asked = request

    def lower(refused: Refused) -> Entry | None:
        nonlocal asked
        lowered = asked.lowered(refused.readings)
        if lowered is None:
            return None
        asked = lowered
        return entry_of(lowered)

    return lower


def unrecorded(request: AdmissionRequest, shard: int) -> Hold:
    return Hold(request.run_id, shard, 0, request.tokens_hold, request.cost_hold_nanos, recorded=False)


def extend_unrecorded(hold: Hold, used: Used, request: AdmissionRequest) -> Hold:
    """Return the hold of the next call of a run that no item records; it is an upper bound for the ledger alone."""
    return replace(
        hold,
        tokens=request.tokens_hold,
        cost_nanos=request.cost_hold_nanos,
        call=hold.call + 1,
        past_tokens=used.tokens,
        past_cost_nanos=used.cost_nanos,
    )
