"""Access that IAM itself binds to one tenant: a role assumed with the tenant's id as session tag (T4).

The role lets a session touch the partitions and objects of the tenant in its tag alone, so that a defect of ours that
named another tenant's would be refused by AWS. A session lasts an hour (role chaining allows no more), and its clients
are used for its first forty minutes, so that what was begun with one can end with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, is_id
from atrium.storage.failures import translated

if TYPE_CHECKING:
    from types_boto3_sts import STSClient
    from types_boto3_sts.type_defs import CredentialsTypeDef

TENANT_TAG = "TenantId"
KEPT_MAX = 64
SESSION_SECONDS = 3_600
RENEWED_BEFORE = timedelta(minutes=20)

type MakeClient = Callable[[str, CredentialsTypeDef], Any]


@dataclass(slots=True)
class _Session:
    """One tenant's credentials and the clients made with them. The lock lets one caller ask STS while others wait."""

    lock: Lock = field(default_factory=Lock)
    credentials: CredentialsTypeDef | None = None
    clients: dict[str, Any] = field(default_factory=dict)


class TenantCredentials:
    """The tenants' sessions of one process: the last `KEPT_MAX` tenants, each asked of STS once an hour."""

    def __init__(self, sts: STSClient, role_arn: str, clock: Callable[[], datetime], make_client: MakeClient) -> None:
        self._sts, self._role_arn, self._clock, self._make_client = sts, role_arn, clock, make_client
        self._lock = Lock()
        self._sessions: OrderedDict[TenantId, _Session] = OrderedDict()

    def client(self, service: str, tenant_id: TenantId) -> Any:
        """Return a client that can do what the tenant's data needs, and nothing with another's.

        `Unavailable` while STS is: there is no way round it.
        """
        session = self._session(tenant_id)
        with session.lock:
            credentials = session.credentials
            if credentials is None or self._clock() >= credentials["Expiration"] - RENEWED_BEFORE:
                credentials = self._assume(tenant_id)
                session.credentials, session.clients = credentials, {}
            if service not in session.clients:
                session.clients[service] = self._make_client(service, credentials)
            return session.clients[service]

    def _session(self, tenant_id: TenantId) -> _Session:
        if not is_id(tenant_id, "ten"):
            raise ValueError("not a tenant id")
        with self._lock:
            session = self._sessions.setdefault(tenant_id, _Session())
            self._sessions.move_to_end(tenant_id)
            if len(self._sessions) > KEPT_MAX:
                self._sessions.popitem(last=False)
        return session

    def _assume(self, tenant_id: TenantId) -> CredentialsTypeDef:
        try:
            with translated():
                answer = self._sts.assume_role(
                    RoleArn=self._role_arn,
                    RoleSessionName=tenant_id,
                    DurationSeconds=SESSION_SECONDS,
                    Tags=[{"Key": TENANT_TAG, "Value": tenant_id}],
                )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise Unavailable(internal=f"sts answered {code}", retry_after_seconds=1) from error
        return answer["Credentials"]
