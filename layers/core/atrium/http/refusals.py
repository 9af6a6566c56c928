"""Refusals for quota in a tenant's audit, one for each principal, limit and minute."""

from atrium.audit.service import AuditService
from atrium.http import logs
from atrium.kernel.errors import LimitReached, Unavailable


def note_refusal(audit: AuditService, refusal: LimitReached) -> None:
    """Count a refusal in the tenant's audit. A refusal stands, also where that fails."""
    details = {name: refusal.extensions[name] for name in ("scope", "used", "max", "resets_at")}
    try:
        audit.count_refusal(str(refusal.extensions["limit"]), {"code": refusal.code, **details})
    except Unavailable as error:
        logs.logger().warning("refusal not in the audit", internal=error.internal)
