"""Reports rejected credentials with a log line, a metric, and an audit event in the tenant that the credential names.

An error during reporting does not change the response. Reporting delays the response by at most WAIT_SECONDS_MAX. An
unverified credential can name a tenant that does not exist, so the tenant is read first. The number of these reads and
the number of audit events are limited.
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
    """Reports rejected credentials.

    `reported` limits the audit events of known tenants. `lookups` limits the reads of tenants that are not known yet.
    """

    runtime: Runtime
    reported: RefusalBound = field(default_factory=RefusalBound)
    lookups: RefusalBound = field(default_factory=RefusalBound)

    def report(self, credential: Credential, refused: Refused, now: datetime) -> None:
        """Log and count a rejected credential, and write an audit event in the tenant that the credential names."""
        log_refusal(refused.failure.code, refused.reason)
        named = refused.named
        if named is None:
            return
        what = f"{named.likes or credential.fingerprint}\n{refused.reason}"
        bound = self.reported if named.tenant else self.lookups
        if not bound.admits(named.tenant_id, what, now):
            count("RefusalsUntold")
            return
        writer = Thread(target=self._write, args=(credential, refused, named), name="report-refusal", daemon=True)
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
        except Exception as error:  # noqa: BLE001 - a failed report must not change the response
            _fail(type(error).__name__)


def log_refusal(code: str, reason: str) -> None:
    """Write a log line for a rejected credential and increment its metric."""
    logs.logger().info("refused", code=code, reason=reason)
    count("CredentialsRefused")


def _fail(internal: str) -> None:
    logs.logger().error("a refusal is not in its tenant's audit", internal=internal)
    count("RefusalsUntold")
