"""Makes outbound calls for a tenant within the tenant's setting `outbound`, and audits refusals."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from atrium.egress.client import EgressClient
from atrium.egress.destination import Rules, read_url
from atrium.egress.exchange import OutboundRequest, OutboundResponse
from atrium.egress.failures import OutboundRefused
from atrium.kernel.texts import clean
from atrium.policy.guard import PolicyGuard
from atrium.tenants.store import TenantStore

_CREDENTIALS = re.compile(r"//[^/]*@")
_URL_SHOWN = 200


@dataclass(frozen=True, slots=True)
class OutboundGuard:
    """Makes the outbound calls of one caller."""

    egress: EgressClient
    guard: PolicyGuard

    def send(
        self, request: OutboundRequest, source: str, *, session_id: str = "", end_user: str = ""
    ) -> OutboundResponse:
        """Send a request and follow redirects; raise `OutboundRefused` or `OutboundFailed`.

        Reads the tenant's setting, so that a change applies to the next call. A refusal is audited once per minute and
        container. `source` is `tool:{name}`. Query, fragment and credentials of the URL are not recorded.
        """
        rules = self._read_rules()
        try:
            return replace(self.egress, rules=rules).send(request)
        except OutboundRefused as refusal:
            url = clean(_CREDENTIALS.sub("//", request.url.partition("?")[0].partition("#")[0]), _URL_SHOWN)
            details = {"source": source, "url": url, "reason": refusal.reason}
            self.guard.record_once("outbound.refuse", details, session_id, end_user)
            raise

    def find_permitted(self, urls: Iterable[str]) -> frozenset[str]:
        """Return the URLs that are valid and whose hosts the tenant's setting allows. Does not resolve the hosts."""
        rules = self._read_rules()
        return frozenset(url for url in urls if _is_permitted(url, rules))

    def _read_rules(self) -> Rules:
        tenant = TenantStore(self.guard.table).get()
        if tenant is None or not tenant.is_visible:
            raise OutboundRefused("host", "the tenant does not exist")
        return replace(self.egress.rules, hosts=tenant.outbound)


def _is_permitted(url: str, rules: Rules) -> bool:
    try:
        read_url(url, rules)
    except OutboundRefused:
        return False
    return True
