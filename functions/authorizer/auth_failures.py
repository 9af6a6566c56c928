"""Tells of refusals: a line in the log and a figure for each, and the audit of the tenant that the credential names.

The answer neither fails by that nor waits long for it. Whose credential proved nothing may still name a tenant: then
it is looked whether that tenant is there, which is all that the tenant pays for, and bounded as the events are.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Thread

from atrium.audit.bound import RefusalBound
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.logs import count
from atrium.identity.verification import Refused, RejectedTenant
from atrium.kernel.errors import AtriumError
from atrium.tenants.auditing import audit_of

from functions.authorizer.credential import Credential
from functions.authorizer.tenants import find_tenant

WAIT_SECONDS_MAX = 0.25


@dataclass
class AuthFailureReporter:
    """What this container tells, and has told in this minute; `looks` are for tenants that may not exist."""

    runtime: Runtime
    told: RefusalBound = field(default_factory=RefusalBound)
    looks: RefusalBound = field(default_factory=RefusalBound)

    def tell(self, credential: Credential, refused: Refused, now: datetime) -> None:
        """Tell of a refused credential whom it concerns."""
        tell_nobody(refused.failure.code, refused.reason)
        named = refused.named
        if named is None:
            return
        what = f"{named.likes or credential.fingerprint}\n{refused.reason}"
        bound = self.told if named.tenant else self.looks
        if not bound.admits(named.tenant_id, what, now):
            count("RefusalsUntold")
            return
        writer = Thread(target=self._write, args=(credential, refused, named), name="tell", daemon=True)
        writer.start()
        writer.join(WAIT_SECONDS_MAX)

    def _write(self, credential: Credential, refused: Refused, named: RejectedTenant) -> None:
        try:
            tenant = named.tenant or find_tenant(self.runtime.tenant_table(named.tenant_id))
            if tenant is None or not tenant.is_visible:
                return
            by = "key" if credential.is_key else "token"
            details = {"by": by, **named.details, "code": refused.failure.code, "reason": refused.reason}
            origin = replace(credential.origin, principal=named.principal)
            table = self.runtime.tenant_table(tenant.id)
            audit_of(tenant, table, origin, self.runtime.clock).record("auth.refuse", details)
        except AtriumError as error:
            _fail(error.internal)
        except Exception as error:  # noqa: BLE001 - what cannot be told must not stop an answer
            _fail(type(error).__name__)


def tell_nobody(code: str, reason: str) -> None:
    """Write the line and the figure that every refusal has."""
    logs.logger().info("refused", code=code, reason=reason)
    count("CredentialsRefused")


def _fail(internal: str) -> None:
    logs.logger().error("a refusal is not in its tenant's audit", internal=internal)
    count("RefusalsUntold")
