"""Decides whether a credential is accepted. A decision needs one batch read, and a cached decision needs no read.

A platform key that names a tenant needs a second read, because a batch contains either platform items or tenant items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING, assert_never

from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.identity.context import to_authorizer_context
from atrium.identity.key_format import EncodedKey, parse_key
from atrium.identity.keys.model import ApiKey
from atrium.identity.keys.store import USE_NOTED_SECONDS, KeyStore, read_key
from atrium.identity.verification import (
    Decision,
    Refused,
    RejectedTenant,
    VerifiedCredential,
    choose_tenant,
    decide_key,
    decide_platform_key,
    enter_tenant,
)
from atrium.kernel.errors import AtriumError, Unauthenticated
from atrium.kernel.ids import KeyId, TenantId, is_id
from atrium.storage import keys, platform_keys
from atrium.storage.table import PlatformTable, TenantTable
from atrium.tenants.context import Caller, TenantContext
from atrium.tenants.model import Tenant

from functions.authorizer.auth_failures import AuthFailureReporter
from functions.authorizer.credential import Credential
from functions.authorizer.tenants import find_tenant, tenant_in
from functions.authorizer.verdict import CachedVerdict, Verdict, VerdictCache, new_verdict_cache

if TYPE_CHECKING:
    from atrium.identity.providers.admission import ForeignTokens

NOTE_SECONDS_MAX = 0.25


@dataclass
class Authorizer:
    """Accepts or rejects credentials. The verdicts are cached in the container."""

    runtime: Runtime
    cache: VerdictCache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = new_verdict_cache(self.runtime.clock)

    def judge(self, credential: Credential) -> Verdict:
        """Return the verdict for a credential. Raises `Unauthenticated`, or `Unavailable` if the check failed."""
        now = self.runtime.clock()
        known = self.cache.get(credential.fingerprint)
        if known is not None:
            return known.verdict
        decision = self._decide(credential, now)
        match decision:
            case VerifiedCredential():
                verdict = _allow(decision)
                self.cache[credential.fingerprint] = CachedVerdict(verdict, decision.ends_at)
            case Refused():
                self._failure_reporter.report(credential, decision, now)
                if issubclass(decision.failure, Unauthenticated):
                    raise Unauthenticated
                failure = decision.failure
                said = {"code": failure.code, "detail": failure.default_detail().rstrip(".") + "."}
                verdict = Verdict(False, decision.principal_id, said)
                if decision.principal_id:  # without it, the credential is unverified and must not fill the cache
                    self.cache[credential.fingerprint] = CachedVerdict(verdict)
            case _:
                assert_never(decision)
        return verdict

    def _decide(self, credential: Credential, now: datetime) -> Decision:
        if not credential.is_key:
            return choose_tenant(self._decide_token(credential, now), credential.tenant)
        said = parse_key(credential.text, self.runtime.settings.environment)
        if said is None:
            return Refused(Unauthenticated, "the checksum is wrong, or the key is of another environment")
        if said.tenant_id is None:
            return self._decide_platform_key(said, credential.tenant, now)
        return choose_tenant(self._decide_key(said, said.tenant_id, now), credential.tenant)

    def _decide_key(self, said: EncodedKey, tenant_id: TenantId, now: datetime) -> Decision:
        table = self.runtime.tenant_table(tenant_id)
        place = keys.api_key(said.key_id)
        found = table.batch_get([place, keys.tenant()])
        key = read_key(found[place], tenant_id) if place in found else None
        tenant = tenant_in(found)
        decision = decide_key(said, key, tenant, find_pepper=self.runtime.secrets.peppers("api_key").find, now=now)
        if isinstance(decision, Refused):
            return _naming(decision, "key", tenant, {"key": key.id} if key else {})
        _note_use(table, key, now)
        return decision

    def _decide_platform_key(self, said: EncodedKey, wanted: str, now: datetime) -> Decision:
        table = self.runtime.platform_table
        place = platform_keys.platform_key(said.key_id)
        found = table.batch_get([place])
        key = read_key(found[place], None) if place in found else None
        decision = decide_platform_key(said, key, find_pepper=self.runtime.secrets.peppers("api_key").find, now=now)
        if isinstance(decision, Refused):
            return decision
        _note_use(table, key, now)
        named = wanted or self.runtime.settings.default_tenant
        if not named:
            return decision
        entered = enter_tenant(decision, self._read_tenant(named))
        # A default tenant that does not exist yet must not block the call that creates it.
        return decision if isinstance(entered, Refused) and not wanted else entered

    def _decide_token(self, credential: Credential, now: datetime) -> Decision:
        from atrium.identity.access import decide_access, list_item_keys
        from atrium.identity.providers.issuers import may_be_issuer, read_unverified_claim, read_unverified_issuer
        from atrium.identity.tokens import name_issuer, read_access_token

        secrets = self.runtime.secrets
        issuer = name_issuer(self.runtime.settings, domain=credential.domain, base_path=credential.base_path)
        said = read_unverified_issuer(credential.text)
        if said != issuer and may_be_issuer(said, self.runtime.settings.egress_local_addresses):
            return self._foreign.decide(credential.text, credential.tenant, credential.origin)
        try:
            claims = read_access_token(credential.text, issuer=issuer, find_key=secrets.find_signing_key, now=now)
        except Unauthenticated as error:
            tenant_id = read_unverified_claim(credential.text, "tenant_id")
            named = RejectedTenant(TenantId(tenant_id), None) if is_id(tenant_id, "ten") else None
            return Refused(Unauthenticated, error.internal, named=named)
        found = self.runtime.tenant_table(claims.tenant_id).batch_get(list_item_keys(claims))
        decision = decide_access(claims, found)
        if isinstance(decision, Refused):
            tenant = tenant_in(found)
            return _naming(decision, "client" if claims.is_client else "user", tenant, {})
        return decision

    @cached_property
    def _failure_reporter(self) -> AuthFailureReporter:
        return AuthFailureReporter(self.runtime)

    @cached_property
    def _foreign(self) -> ForeignTokens:
        """Return the verifier for tokens of the tenants' identity providers. It is created on first use."""
        from atrium.identity.providers.admission import ForeignTokens
        from atrium.identity.providers.key_finder import KeyFinder
        from atrium.identity.providers.store import IssuerRegistry

        runtime = self.runtime
        return ForeignTokens(
            IssuerRegistry(runtime.platform_table),
            runtime.tenant_table,
            KeyFinder(runtime.egress, runtime.settings.egress_local_addresses, runtime.clock),
            runtime.clock,
        )

    def _read_tenant(self, tenant_id: str) -> Tenant | None:
        if not is_id(tenant_id, "ten"):
            return None
        return find_tenant(self.runtime.tenant_table(TenantId(tenant_id)))


def _allow(decision: VerifiedCredential) -> Verdict:
    caller = Caller(decision.principal, request_id="", login_id=decision.login_id)
    call = TenantContext.of(decision.tenant, caller) if decision.tenant else caller
    return Verdict(True, decision.principal.id, to_authorizer_context(call))


def _naming(refused: Refused, kind: str, tenant: Tenant | None, details: Mapping[str, str]) -> Refused:
    """Return the refusal with the tenant in whose audit log it is reported. Without a tenant, return it unchanged."""
    if tenant is None:
        return refused
    principal = f"{kind}:{refused.principal_id}" if refused.principal_id else ""
    return replace(refused, named=RejectedTenant(tenant.id, tenant, principal, details))


def _note_use(table: TenantTable | PlatformTable, key: ApiKey | None, now: datetime) -> None:
    """Record the last use of a key, at most once a minute. Wait at most NOTE_SECONDS_MAX. Errors are only logged."""
    if key is None or (key.last_used_at and now - key.last_used_at < timedelta(seconds=USE_NOTED_SECONDS)):
        return
    writer = Thread(target=_write_use, args=(KeyStore(table), key.id, now), name="note-use", daemon=True)
    writer.start()
    writer.join(NOTE_SECONDS_MAX)


def _write_use(store: KeyStore, key_id: KeyId, now: datetime) -> None:
    try:
        store.note_use(key_id, now=now)
    except AtriumError as error:
        logs.logger().warning("the last use of a key was not recorded", internal=error.internal)
    except Exception as error:  # noqa: BLE001 - recording the last use must not fail the call
        logs.logger().warning("the last use of a key was not recorded", exception_name=type(error).__name__)
