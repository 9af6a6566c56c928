"""Consumes the queue of runs: resumes a run whose function failed, or whose tool calls were approved or refused."""

from collections.abc import Mapping
from typing import Any

from atrium.agent.turn import TurnService
from atrium.bootstrap import Runtime, runtime
from atrium.http import logs
from atrium.http.turns import run_finalizer, turn_service
from atrium.identity.returning import restore_caller
from atrium.jobs.resuming import RunResumer
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId, TenantId, session_of
from atrium.storage.queues import QueuedRun
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord


def handler(event: dict[str, Any], _context: object) -> PartialItemFailureResponse:
    """Resume the runs of a batch (Lambda entry point). Return the messages that SQS must deliver again."""
    return resume_runs(runtime(), event)


def resume_runs(source: Runtime, event: dict[str, Any]) -> PartialItemFailureResponse:
    """Resume the runs of a batch. Return the messages that SQS must deliver again."""

    def resume(record: SQSRecord) -> None:
        try:
            _resume(source, QueuedRun.read(record.body))
        except Unavailable as error:  # the sweeper sends the run again within a minute
            logs.logger().warning("a run could not be resumed", code=error.code, internal=error.internal)
        except Exception:
            logs.logger().exception("a run could not be resumed", message_id=record.message_id)
            raise

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event=event, record_handler=resume, processor=processor)


def _resume(source: Runtime, queued: QueuedRun) -> None:
    logs.unbind()
    logs.bind(tenant_id=queued.tenant_id, session_id=session_of(queued.run_id), run_id=queued.run_id)
    turn = resumer(source, queued.tenant_id).resume(queued.run_id)
    logs.logger().info("run resumed" if turn else "run not resumed")
    if turn is not None:
        for _event in turn.events():
            pass
        logs.record_run(turn.ended)


def resumer(source: Runtime, tenant_id: TenantId) -> RunResumer:
    """Return the resumer of one tenant's runs."""

    def service_for(origin: Mapping[str, Any], run_id: RunId, epoch: int) -> TurnService:
        context = restore_caller(origin, run_id, source.tenant_table(tenant_id), source.clock())
        return turn_service(source, context, epoch=epoch)

    return RunResumer(run_finalizer(source, tenant_id), service_for)
