"""Creates AWS clients that IAM restricts to one tenant.

For each tenant, the function assumes a role with the tenant's id as session tag. The role's policy allows only the
partitions and objects of the tagged tenant, so AWS refuses access to another tenant's data even if this code has a
defect. Credentials are valid for one hour, the maximum for role chaining. A client is returned only during the first
forty minutes of its credentials, so that a request can finish with the same client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from cachetools import LRUCache

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, is_id
from atrium.storage.table import translated

if TYPE_CHECKING:
    from types_boto3_sts import STSClient
    from types_boto3_sts.type_defs import CredentialsTypeDef

TENANT_TAG = "TenantId"
KEPT_MAX = 64
SESSION_SECONDS = 3_600
RENEWED_BEFORE = timedelta(minutes=20)

type MakeClient = Callable[[str, CredentialsTypeDef], Any]


@dataclass(slots=True)
class _Kept:
    """One tenant's credentials and clients. The lock ensures that concurrent callers share one call to STS."""

    lock: Lock = field(default_factory=Lock)
    credentials: CredentialsTypeDef | None = None
    clients: dict[str, Any] = field(default_factory=dict)


class TenantCredentials:
    """Caches the clients of the `KEPT_MAX` most recently used tenants.

    The clients of a cached tenant need one STS call every 40 minutes.
    """

    def __init__(self, sts: STSClient, role_arn: str, clock: Callable[[], datetime], make_client: MakeClient) -> None:
        self._sts, self._role_arn, self._clock, self._make_client = sts, role_arn, clock, make_client
        self._lock = Lock()
        self._kept: LRUCache[TenantId, _Kept] = LRUCache(KEPT_MAX)

    def client(self, service: str, tenant_id: TenantId) -> Any:
        """Return a client for the tenant's data; raise `Unavailable` if the STS call fails.

        There is no fallback to other credentials.
        """
        kept = self._kept_for(tenant_id)
        with kept.lock:
            credentials = kept.credentials
            if credentials is None or self._clock() >= credentials["Expiration"] - RENEWED_BEFORE:
                credentials = self._assume(tenant_id)
                kept.credentials, kept.clients = credentials, {}
            if service not in kept.clients:
                kept.clients[service] = self._make_client(service, credentials)
            return kept.clients[service]

    def _kept_for(self, tenant_id: TenantId) -> _Kept:
        if not is_id(tenant_id, "ten"):
            raise ValueError("not a tenant id")
        with self._lock:
            return self._kept.setdefault(tenant_id, _Kept())

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
            raise Unavailable(internal=f"STS answered {code}", retry_after_seconds=1) from error
        return answer["Credentials"]
