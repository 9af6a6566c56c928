"""Checks each route, method, tool and model against the tenant's policies, and audits denials.

Equal denials are audited once per minute (`audit.bound`). Compiled policies are cached for at most five minutes, or
until the context of a call has a newer `config_version`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock

from cachetools import LRUCache

from atrium.audit.bound import RefusalBound
from atrium.audit.model import EventType
from atrium.audit.service import AuditService
from atrium.identity.clients.model import Client
from atrium.identity.clients.store import ClientStore
from atrium.identity.keys.store import KeyStore
from atrium.identity.principals import principal_of_client, principal_of_key, principal_of_user
from atrium.identity.scopes import list_permissions
from atrium.identity.users.store import UserStore
from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError, MessageRefused, PolicyDenied
from atrium.kernel.ids import ClientId, KeyId, TenantId, UserId, is_id
from atrium.policy.builtin import BUILT_IN
from atrium.policy.engine import PolicySet, match
from atrium.policy.injection import find_signals
from atrium.policy.model import EXECUTE, AccessRequest, Circumstances, Decision, Policy
from atrium.policy.store import PolicyStore
from atrium.storage.table import TenantTable
from atrium.tenants.context import Principal, TenantContext

_LOG = logging.getLogger(__name__)
POLICY_ROUTES = "route:* /v1/policies*"
_FOR_ADMIN = Decision(True, "an administrator may always call the policy routes")
_FOR_OPERATOR = Decision(True, "a tenant's policies do not apply to the operator")


KEPT_SECONDS = 300
TENANTS_MAX = 200

type Subject = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Entry:
    version: int
    read_at: datetime
    policies: PolicySet

    def serves(self, version: int, now: datetime) -> bool:
        return self.version >= version and 0 <= (now - self.read_at).total_seconds() < KEPT_SECONDS


class PolicyCache:
    """Caches the compiled policies of tenants and the recorded denials.

    Thread-safe. Concurrent calls that do not find a tenant in the cache each read its policies.
    """

    def __init__(self) -> None:
        self.denials = RefusalBound()
        self._entries: LRUCache[TenantId, _Entry] = LRUCache(TENANTS_MAX)
        self._lock = Lock()

    def get(
        self, tenant_id: TenantId, *, version: int, now: datetime, read: Callable[[], Sequence[Policy]]
    ) -> PolicySet:
        """Return a tenant's policies. Read them if the cached policies are older than five minutes or than `version`.

        A `version` that is lower than the cached version does not cause a read, because it comes from a context that
        the authorizer has cached.
        """
        policies = self.recall(tenant_id, version=version, now=now)
        if policies is None:
            policies = PolicySet(read(), BUILT_IN)
            with self._lock:
                self._entries[tenant_id] = _Entry(version, now, policies)
        return policies

    def recall(self, tenant_id: TenantId, *, version: int, now: datetime) -> PolicySet | None:
        """Return a tenant's cached policies if they are still valid, otherwise None."""
        with self._lock:
            entry = self._entries.get(tenant_id)
        return entry.policies if entry is not None and entry.serves(version, now) else None

    def drop(self, tenant_id: TenantId) -> None:
        """Delete a tenant's cached policies after a change by this process."""
        with self._lock:
            self._entries.pop(tenant_id, None)


def subject_of(tenant_id: str, principal: Principal) -> Subject:
    """Return the names of a caller, such as `user:…` and `role:…`.

    A rotated API key has two names: its id, and the id of the first key in its line of rotations. For a user's token,
    the names include the OAuth client to which the token was issued.
    """
    names = {
        "tenant": tenant_id,
        principal.type: principal.id,
        "role": principal.role,
        "client": principal.client_id or (principal.id if principal.type == "client" else ""),
    }
    own = {f"{kind}:{name}" for kind, name in names.items() if name}
    if principal.credential_id:
        own.add(f"{principal.type}:{principal.credential_id}")
    return frozenset(own) | {f"scope:{scope}" for scope in list_permissions(principal)}


def find_subject(table: TenantTable, name: str, client_id: str = "") -> Subject:
    """Return the names of a principal (`user:…`, `key:…`, `client:…`), including its current role and scopes.

    `client_id` is the OAuth client through which a user calls. A principal that does not exist has no scopes.
    """
    kind, _, some_id = name.partition(":")
    if kind == "tenant":
        return frozenset({name})
    principal = _find_principal(table, kind, some_id, client_id)
    if principal is None:
        return frozenset({f"tenant:{table.tenant_id}", name})
    return subject_of(table.tenant_id, principal)


def _find_principal(table: TenantTable, kind: str, some_id: str, client_id: str) -> Principal | None:
    match kind:
        case "user" if is_id(some_id, "usr"):
            user = UserStore(table).get(UserId(some_id))
            return principal_of_user(user, client=_find_client(table, client_id)) if user else None
        case "key" if is_id(some_id, "key"):
            key = KeyStore(table).get(KeyId(some_id))
            return principal_of_key(key) if key else None
        case "client":
            client = _find_client(table, some_id)
            return principal_of_client(client) if client else None
        case _:
            return None


def _find_client(table: TenantTable, client_id: str) -> Client | None:
    return ClientStore(table).get(ClientId(client_id)) if is_id(client_id, "cli") else None


@dataclass(frozen=True, slots=True)
class PolicyGuard:
    """Checks the policies for one call. If the tenant's setting `audits_all` is true, allowed calls are also audited.

    Resources are `route:{METHOD} {path template}`, `method:{name}`, `tool:{name}` and `model:{id}`.
    """

    context: TenantContext
    table: TenantTable
    cache: PolicyCache
    clock: Clock
    audit: AuditService

    def evaluate(self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None) -> Decision:
        """Return the decision on a request of the caller, without auditing it."""
        if self.context.principal.type == "platform":
            return _FOR_OPERATOR
        now = self.clock()
        policies = self.cache.get(
            self.context.tenant_id,
            version=self.context.config_version,
            now=now,
            read=PolicyStore(self.table).read_all,
        )
        return decide(policies, self._request(resource, action, amount, now))

    def passes(self, resource: str, action: str = EXECUTE) -> bool:
        """Return True if the cached policies allow the request and no audit event is needed.

        If the result is False, the decision is unknown; call `require_permission`.
        """
        if self.context.audits_all:
            return False
        if self.context.principal.type == "platform":
            return True
        now = self.clock()
        policies = self.cache.recall(self.context.tenant_id, version=self.context.config_version, now=now)
        return policies is not None and decide(policies, self._request(resource, action, None, now)).allowed

    def check_permission(
        self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None, session_id: str = ""
    ) -> bool:
        """Return whether the request is allowed. A denial is audited."""
        return self._decide_and_record(resource, action, amount, session_id).allowed

    def require_permission(
        self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None, session_id: str = ""
    ) -> None:
        """Raise `PolicyDenied` if the request is not allowed. A denial is audited."""
        decision = self._decide_and_record(resource, action, amount, session_id)
        if not decision.allowed:
            raise PolicyDenied(
                f"the tenant's policies do not allow {action} on {resource}; ask an administrator of the tenant",
                internal=decision.reason,
            )

    def screen(self, text: str, source: str, *, session_id: str, end_user: str = "") -> tuple[str, ...]:
        """Return the prompt-injection signals of a text if it must not be used, and an empty tuple otherwise.

        A text with signals must not be used if the tenant's setting `prompt_injection` is `refuse`. Signals are audited
        unless the setting is `off`. Each container audits equal signals once per minute. `source` is `message` or
        `tool:{name}`.
        """
        mode = self.context.prompt_injection
        signals = () if mode == "off" else find_signals(text)
        if not signals:
            return ()
        details = {"source": source, "signals": list(signals), "refused": mode == "refuse"}
        self.record_once("safety.injection", details, session_id, end_user)
        return signals if mode == "refuse" else ()

    def require_harmless(self, texts: Sequence[str], *, session_id: str, end_user: str) -> None:
        """Raise `MessageRefused` if the texts of a message look like a prompt injection and must not be used.

        The texts are also screened without line breaks between them, because a model may read them without.
        """
        for text in dict.fromkeys(("\n".join(texts), "".join(texts))):
            signals = self.screen(text, "message", session_id=session_id, end_user=end_user)
            if signals:
                raise MessageRefused(
                    f"The tenant's settings reject messages that look like a prompt injection ({', '.join(signals)}). "
                    "Reword the message, or ask an administrator to change the setting `prompt_injection`."
                )

    def _request(self, resource: str, action: str, amount: Decimal | None, now: datetime) -> AccessRequest:
        subject = subject_of(self.context.tenant_id, self.context.principal)
        circumstances = Circumstances(now, self.context.caller.source_ip, self.context.plan, amount)
        return AccessRequest(subject, action, resource, circumstances)

    def _decide_and_record(self, resource: str, action: str, amount: Decimal | None, session_id: str) -> Decision:
        decision = self.evaluate(resource, action, amount=amount)
        if decision.allowed and not self.context.audits_all:
            return decision
        details = {
            "resource": resource,
            "action": action,
            "amount": None if amount is None else str(amount),
            "reason": decision.reason,
            "matched": list(decision.matched),
        }
        if decision.allowed:
            self.audit.record("policy.allow", details, session_id=session_id)
        else:
            self.record_once("policy.deny", details, session_id)
        return decision

    def record_once(self, type: EventType, details: Mapping[str, object], session_id: str, end_user: str = "") -> None:
        """Record an audit event, unless this container has already recorded an equal event in this minute."""
        tenant_id, denials = self.context.tenant_id, self.cache.denials
        what = f"{type}\n{self.audit.origin.principal}\n{session_id}\n{sorted(details.items())}"
        if not denials.admits(tenant_id, what, self.clock()):
            _LOG.info(
                "%s not recorded again in this minute: %s", type, details.get("resource") or details.get("source")
            )
            return
        try:
            self.audit.record(type, details, session_id=session_id, end_user=end_user)
        except AtriumError:
            denials.forget(tenant_id, what)
            raise


def decide(policies: PolicySet, request: AccessRequest) -> Decision:
    """Return the decision on a request.

    Administrators can always call the policy routes, so that they can correct any policy.
    """
    if "scope:admin" in request.subject and match(POLICY_ROUTES, request.resource):
        return _FOR_ADMIN
    return policies.decide(request)
