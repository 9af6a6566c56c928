"""The queue of runs that a worker resumes."""

import json
from dataclasses import dataclass
from typing import Any

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId, TenantId, is_id
from atrium.storage.table import translated


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A message of the queue."""

    tenant_id: TenantId
    run_id: RunId

    @classmethod
    def read(cls, body: str) -> "QueuedRun":
        """Parse the body of a message. Raise `ValueError` if it is invalid."""
        found = json.loads(body)
        fields = found if isinstance(found, dict) else {}
        tenant_id, run_id = str(fields.get("tenant_id")), str(fields.get("run_id"))
        if not is_id(tenant_id, "ten") or not is_id(run_id, "run"):
            raise ValueError("a message needs a tenant id and a run id")
        return cls(TenantId(tenant_id), RunId(run_id))


@dataclass(frozen=True, slots=True)
class RunQueue:
    """Sends runs to the workers. `client` is an SQS client, `url` the URL of the queue."""

    client: Any
    url: str

    def send(self, tenant_id: TenantId, run_id: RunId) -> None:
        """Let a worker resume a run. Sending a run again has no effect. Raises `Unavailable`.

        The tenant is the message group, so that SQS delivers the messages of tenants with few messages first.
        """
        if not self.url:
            raise Unavailable(internal="this function has no queue of runs")
        body = json.dumps({"tenant_id": tenant_id, "run_id": run_id})
        with translated():
            self.client.send_message(QueueUrl=self.url, MessageBody=body, MessageGroupId=tenant_id)
