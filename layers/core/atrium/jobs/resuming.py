"""Resumes runs: those whose worker failed, and those whose tool calls were approved or refused.

    take over ─> read the steps ─> settle the slots, acquire them again ─> record a step ─> continue

The step of the take-over is recorded before any call is made, so of two workers only one continues. Of the tool calls
without a result, `pure` and `idempotent` ones are made again, with the same idempotency key. An `effectful` call that
was begun is not made again: its result says that its outcome is unknown.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atrium.agent.admission import RunAllowance, estimate_call
from atrium.agent.context import TurnContext
from atrium.agent.loop import build_request
from atrium.agent.model import RunLimits, TurnRequest
from atrium.agent.starting import StartedTurn
from atrium.agent.turn import Turn, TurnService, digest_system
from atrium.kernel.errors import AtriumError, RunInterrupted, Unavailable
from atrium.kernel.ids import RunId
from atrium.llm.model import ToolResult, ToolUse
from atrium.quotas.model import AdmissionRequest, Admitted, Estimate, Extended, Rejected, Reservation, Used
from atrium.runs.approvals import Approvals, Decision
from atrium.runs.model import Run, RunEvent
from atrium.runs.steps import (
    UNKNOWN,
    Progress,
    Resumption,
    Step,
    StepLog,
    shown_results,
    unseen_events,
)
from atrium.runs.store import LeaseLost, RunStore, read_stored
from atrium.sessions.finalizing import RunFinalizer, spent_so_far
from atrium.tools.registry import ToolRegistry

ATTEMPTS_MAX = 3
WAIT_SECONDS_MAX = 60
"""If a limit resets within this time, the run is resumed later. Otherwise it fails with the limit's error."""

EVENTS_SKIPPED = 1_000
"""After a failure, the events of a resumed run continue after this many unused numbers, because a client may have
received events that were not stored.
"""
_EDITED = "A person approved this call with other arguments: {}."
type Calls = tuple[ToolUse, ...]
type ServiceFor = Callable[[Mapping[str, Any], RunId, int], TurnService]


@dataclass(frozen=True, slots=True)
class RunResumer:
    """Resumes runs of one tenant.

    `service_for` returns the turn service of the run's caller for an epoch of the run. It gets the origin that
    `agent.turn` recorded with the first step, and raises an `AtriumError` if the caller is no longer active.
    """

    finalizer: RunFinalizer
    service_for: ServiceFor

    def resume(self, run_id: RunId) -> Turn | None:
        """Return the resumed turn, whose events must be iterated, or None if there is nothing to do now.

        A run that cannot be resumed is ended as failed. Safe to call at any time and from several workers. Raises
        `Unavailable`.
        """
        runs, now = self.finalizer.runs, self.finalizer.clock()
        run = runs.get(run_id)
        if run is None or not run.is_open:
            return None
        decisions = Approvals(runs, run).read() if run.waiting_for else {}
        is_decided = run.is_waiting and len(decisions) == len(run.waiting_for) and not run.cancel_requested
        if not is_decided and not self.finalizer.is_resumable(run, now):
            self.finalizer.close_expired(run_id)
            return None
        taken = runs.take_over(run_id, now=now, is_waiting=is_decided)
        if taken is None:
            return None
        try:
            if taken.cancel_requested or self.finalizer.ledger.get(run_id) is not None:
                raise RunInterrupted
            return _Take(self.finalizer, self.service_for, run, taken, decisions).resume()
        except LeaseLost:
            return None
        except Unavailable:
            raise
        except AtriumError as failure:
            self.finalizer.close(runs.get(run_id) or taken, failure)
            return None


@dataclass(frozen=True, slots=True)
class _Take:
    """The resumption of one run. `run` is the run before it was taken over, and `taken` after it."""

    finalizer: RunFinalizer
    service_for: ServiceFor
    run: Run
    taken: Run
    decisions: Mapping[str, Decision]

    def resume(self) -> Turn | None:
        steps = StepLog(replace(self.finalizer.runs, epoch=self.taken.epoch), self.run.id, self.finalizer.clock)
        progress, reserved = steps.read(), self.taken.reservation
        if not progress.steps or reserved is None:
            raise RunInterrupted
        service = self.service_for(progress.origin, self.run.id, self.taken.epoch)
        starter = service.starter
        request = self._request(progress)
        read = service.reader.read(request)
        plan = starter.plan(request, read)
        settled = replace(self._settle(steps.runs, progress, reserved), own_keys=read.keys.own)
        reserved = settled.reservation or reserved
        allowance = RunAllowance(starter.admission, plan.budget, read.scopes, reserved)
        loop_input = starter.loop_input(plan, settled, read.runs)
        if progress.origin.get("system", "") not in ("", digest_system(loop_input.system)):  # thinking is bound to it
            progress = replace(progress, thinking_from=len(progress.messages))
        started = StartedTurn(settled, Admitted(reserved), allowance, plan, loop_input)
        reservation = self._reserve(started, progress, read)
        if reservation is None:
            return None
        allowance.reservation = reservation
        stored = list(read_stored(steps.runs, self.taken, after=1))
        after = stored[-1].sequence if stored else 1
        steps.runs.resume(settled, reservation, after)
        resumption = self._record(steps, progress, started, stored)
        deadline = time.monotonic() + plan.budget.max_seconds
        after += 0 if self.run.is_waiting else EVENTS_SKIPPED
        return service.open(started, steps, deadline=deadline, resumption=resumption, after=after)

    def _request(self, progress: Progress) -> TurnRequest:
        """Return the request of the run. Its message was checked when the run began, and is not repeated."""
        given = progress.origin.get("limits", {})
        return TurnRequest(
            message=(),
            session_id=self.run.session_id,
            agent_id=self.run.agent_id,
            model=progress.model or self.run.model,
            limits=RunLimits(**{name: given.get(name) for name in RunLimits.__slots__}),
            end_user=self.run.end_user,
        )

    def _settle(self, runs: RunStore, progress: Progress, reserved: Reservation) -> Run:
        """Settle the run's slots to its usage. The usage is stored first, so that a later worker knows it."""
        quotas = self.finalizer.quotas
        held = quotas.find(reserved) or reserved
        spend = spent_so_far(replace(self.taken, reservation=held), progress)
        used = Used(spend.total_tokens, spend.cost_nanos)
        settled = replace(self.taken, spend=spend, reservation=held.settled(used))
        if not runs.note_reservation(held.settled(used), spend=spend):
            raise LeaseLost
        quotas.settle(held, used)
        return settled

    def _reserve(self, started: StartedTurn, progress: Progress, read: TurnContext) -> Reservation | None:
        """Reserve the next model call. Return None if a limit rejects it and resets soon; then the run waits."""
        run, admission = started.run, started.allowance.admission
        quotas, clock = self.finalizer.quotas, self.finalizer.clock
        call = estimate_call(build_request(started.loop_input, progress.closed().messages), clock())
        fitted = started.plan.budget.fit(call, run.spend)
        asked = AdmissionRequest(run.id, 0, 0)
        if isinstance(fitted, Estimate):
            asked = AdmissionRequest(run.id, fitted.tokens, fitted.cost_nanos, estimate=fitted)
        used = Used(run.spend.total_tokens, run.spend.cost_nanos)
        decision = quotas.resume(started.allowance.reservation, used, asked, read.scopes)
        if isinstance(decision, Extended):
            return decision.reservation
        if not isinstance(decision, Rejected):
            raise RunInterrupted
        if decision.retry_after_seconds is None or decision.retry_after_seconds > WAIT_SECONDS_MAX:
            raise admission.error(decision)
        if self.run.is_waiting and self.run.lease_until is not None:
            waiting = replace(run, waiting_for=self.run.waiting_for)
            replace(self.finalizer.runs, epoch=run.epoch).pause(waiting, until=self.run.lease_until)
        return None

    def _record(
        self, steps: StepLog, recorded: Progress, started: StartedTurn, stored: Sequence[RunEvent]
    ) -> Resumption:
        """Record the take-over and the calls that will be made. Decide again if the earlier worker adds a step."""
        tools = started.plan.tools
        for _ in range(ATTEMPTS_MAX):
            progress = recorded.knowing(shown_results(stored))
            made, results, waiting = self._decide(progress, tools)
            spend = started.run.spend.with_calls(Counter(call.name for call in made if call.id not in progress.made))
            results += tuple(each for call, each in progress.results.items() if call not in recorded.results)
            ids = tuple(call.id for call in made)
            step = Step((), ids, results, spend, progress.iterations, progress.model, is_takeover=True)
            try:
                steps.append(step)
            except LeaseLost:
                recorded = steps.read()
                continue
            progress = progress.after(step, steps.clock(), {})
            unseen = tuple(unseen_events(progress.messages, progress.results, stored))
            edited = {call.id: self.decisions[call.id].args for call in made if call.id in self.decisions}
            notes = {call: _EDITED.format(json.dumps(args)) for call, args in edited.items() if args is not None}
            return Resumption(progress, made, unseen, waiting, notes)
        raise LeaseLost

    def _decide(self, progress: Progress, tools: ToolRegistry) -> "tuple[Calls, tuple[ToolResult, ...], Calls]":
        """Return the open calls that are made, with their arguments, the results of others, and those that wait."""
        made, results, waiting = list[ToolUse](), list[ToolResult](), list[ToolUse]()
        for call in progress.open_calls:
            decision = self.decisions.get(call.id)
            given = call if decision is None or decision.args is None else replace(call, input=decision.args)
            was_made = call.id in progress.made
            if was_made and tools.effect(call.name) == "effectful":
                results.append(ToolResult(call.id, UNKNOWN, is_error=True))
            elif was_made or (decision is not None and decision.decision == "approve"):
                made.append(given)
            elif decision is None:  # the worker failed before the run could wait
                waiting.append(call)
            else:
                reason = f" Reason: {decision.reason}" if decision.reason else ""
                results.append(ToolResult(call.id, f"Not called: a person refused this call.{reason}", is_error=True))
        return tuple(made), tuple(results), tuple(waiting)
