"""Giving out tokens (I4): the one door for login, OAuth and social sign-in.

Each use of a refresh token ends it and gives the next. One that was used before ends its family, which its access
tokens follow within the authorizer's memory. A client whose reply was lost is not punished: the last token's parent,
shown again within the grace and before the last one was used, gives the same answer again.
"""

import secrets as random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from atrium.audit.bound import RefusalBound
from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.identity.families.decision import check_holder, judge_use
from atrium.identity.families.issuing import AccessSigner, make_token_family
from atrium.identity.families.model import IssuedTokens, TokenFamily
from atrium.identity.families.refresh_text import RefreshText, derive_secret, read_refresh_text, write_refresh_text
from atrium.identity.families.store import TokenFamilyStore
from atrium.identity.signing import choose_signer
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.identity.verification import Refused
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, NotFound, ScopeRequired, TokenInvalid, Unavailable
from atrium.kernel.ids import FamilyId, TenantId, UserId
from atrium.settings import Environment
from atrium.storage.secrets import Pepper, Secrets, SigningKey
from atrium.storage.table import TenantTable, TransactionRefused
from atrium.storage.writes import Operation, Put
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant
from atrium.tenants.store import TenantStore

AT_ONCE_SECONDS = 10
_ATTEMPTS = 4
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class TokenFamilyService:
    """Logins of every tenant: a refresh token says which one it belongs to. `issuer` is who signs."""

    table_of: Callable[[TenantId], TenantTable]
    secrets: Secrets
    environment: Environment
    issuer: str
    grace_seconds: int
    clock: Clock
    refusals: RefusalBound

    def begin(
        self,
        user: User,
        tenant: Tenant,
        *,
        origin: Origin,
        scopes: frozenset[str] | None = None,
        client_id: str = "",
        family_id: FamilyId | None = None,
        also: Sequence[Operation] = (),
    ) -> IssuedTokens:
        """Give a user who has proven himself his first tokens; `also` is written in the same transaction.

        `scopes` None: all that the role has, also after it changes. `TransactionRefused` if `also` is refused.
        """
        pepper = self.secrets.current_pepper()
        family, text = make_token_family(
            user, tenant, self.environment, pepper, self.clock(),
            origin=origin, scopes=scopes, client_id=client_id, family_id=family_id,
        )  # fmt: skip
        store = self._store(tenant.id)
        store.table.transact([store.creation(family), *also])
        return self._issue(family, text, user, tenant, scopes)

    def refresh(
        self, text: str, *, origin: Origin, client_id: str = "", scopes: frozenset[str] | None = None
    ) -> IssuedTokens:
        """Give the next tokens for a refresh token; `scopes` are fewer for this access token (else `ScopeRequired`).

        `TokenInvalid`, `TokenExpired`, `TenantInactive` or `UserSuspended`; a used one ends its family (audited).
        """
        said = self._read(text)
        store = self._store(said.tenant_id)
        family = store.get(said.family_id)
        tenant = TenantStore(store.table).get()
        grace = self.grace_seconds
        for _ in range(_ATTEMPTS):
            now = self.clock()
            use = judge_use(said, family, client_id=client_id, grace_seconds=grace, now=now)
            if isinstance(use, Refused) or family is None:
                raise self._refuse(use, said, family, tenant, origin)
            if use == "reused":
                self._punish(family, tenant, origin)
                raise TokenInvalid("The refresh token was used before; its login has been ended")
            user = UserStore(store.table).get(family.user_id)
            unfit = check_holder(family, user, tenant)
            if unfit is not None or user is None or tenant is None:
                raise self._refuse(unfit, said, family, tenant, origin)
            if scopes is not None and not family.allows(scopes):
                raise ScopeRequired
            if use == "repeated":
                return self._issue(family, self._successor(said, family), user, tenant, scopes)
            after, following = self._next(said, family)
            try:
                return self._issue(store.rotate(family, after), following, user, tenant, scopes)
            except ConditionFailed:
                # It was the last one when this call came: another of the same moment went first, or our own write.
                grace = max(grace, AT_ONCE_SECONDS)
                family = store.get(said.family_id)
        raise Unavailable(internal="a refresh met others too often", retry_after_seconds=1)

    def login_of(self, text: str, tenant_id: TenantId) -> FamilyId | None:
        """Return the login of a refresh token that was given out in this tenant, whatever has become of it, or None."""
        said = read_refresh_text(text, self.environment, self.secrets.seek_pepper)
        return said.family_id if said is not None and said.tenant_id == tenant_id else None

    def get(self, tenant_id: TenantId, family_id: FamilyId) -> TokenFamily | None:
        return self._store(tenant_id).get(family_id)

    def find_current(self, text: str, tenant: Tenant) -> TokenFamily | None:
        """Return the login of a refresh token that would be taken now, without using it."""
        said = read_refresh_text(text, self.environment, self.secrets.seek_pepper)
        if said is None or said.tenant_id != tenant.id:
            return None
        family = self.get(tenant.id, said.family_id)
        client_id = family.client_id if family else ""
        use = judge_use(said, family, client_id=client_id, grace_seconds=0, now=self.clock())
        user = UserStore(self.table_of(tenant.id)).get(family.user_id) if family else None
        return family if use == "current" and family and check_holder(family, user, tenant) is None else None

    def signing_key(self) -> SigningKey:
        """Return the key that signs now."""
        return choose_signer(self.secrets.signing_keys(), self.clock())

    def end(self, tenant_id: TenantId, family_id: FamilyId, reason: str, *, recording: Put) -> bool:
        """End one login, with its record; False if it had ended before."""
        store = self._store(tenant_id)
        try:
            store.table.transact([store.revocation(family_id, reason, now=self.clock()), recording])
        except TransactionRefused:
            return False
        return True

    def revoke_all(self, tenant_id: TenantId, user_id: UserId, *, recording: Put) -> None:
        """End all logins of a user, with their record; `NotFound` if there is no such user."""
        store = self._store(tenant_id)
        try:
            store.table.transact([store.ending_of_user(user_id, now=self.clock()), recording])
        except TransactionRefused as refused:
            raise NotFound("there is no such user") from refused

    def _read(self, text: str) -> RefreshText:
        said = read_refresh_text(text, self.environment, self.secrets.seek_pepper)
        if said is None:
            raise TokenInvalid("The refresh token is not valid", internal="refresh token: none of ours")
        return said

    def _next(self, said: RefreshText, family: TokenFamily) -> tuple[TokenFamily, str]:
        """Return the family as it is after the last token was used, and the text that goes with it."""
        now, pepper = self.clock(), self.secrets.current_pepper()
        draft = replace(
            family,
            sequence=family.sequence + 1,
            salt=random.token_bytes(_SALT_BYTES),
            before=family.digest,
            pepper_version=pepper.version,
            rotated_at=now,
            expires_at=family.next_end(now),
        )
        text, following = self._derive(said, draft, pepper)
        return replace(draft, digest=following.digest), text

    def _successor(self, said: RefreshText, family: TokenFamily) -> str:
        return self._derive(said, family, self.secrets.find_pepper(family.pepper_version))[0]

    def _derive(self, said: RefreshText, family: TokenFamily, pepper: Pepper) -> tuple[str, RefreshText]:
        return write_refresh_text(
            self.environment,
            pepper,
            family_id=family.id,
            tenant_id=family.tenant_id,
            sequence=family.sequence,
            secret=derive_secret(pepper, family.salt, said),
        )

    def _refuse(
        self, refused: object, said: RefreshText, family: TokenFamily | None, tenant: Tenant | None, origin: Origin
    ) -> Exception:
        """Record a refusal in the audit of the tenant that the token names, and return it."""
        if not isinstance(refused, Refused):
            return TokenInvalid("The refresh token is not valid")
        if tenant is not None and tenant.is_visible:
            audit = self._audit(tenant, family, origin)
            details = {"by": "refresh token", "login": said.family_id, "reason": refused.reason}
            audit.record_refusal(details, self.refusals)
        return refused.failure(internal=f"refresh token: {refused.reason}")

    def _punish(self, family: TokenFamily, tenant: Tenant | None, origin: Origin) -> None:
        """End a family of which a used token was shown, with its record; once is enough."""
        store = self._store(family.tenant_id)
        operations: list[Operation] = [store.revocation(family.id, "reuse", now=self.clock())]
        if tenant is not None:
            audit = self._audit(tenant, family, origin)
            details = {"login": family.id, "client_id": family.client_id or None}
            operations.append(audit.recording("auth.token_reuse", details))
        try:
            store.table.transact(operations)
        except TransactionRefused:
            return

    def _audit(self, tenant: Tenant, family: TokenFamily | None, origin: Origin) -> AuditService:
        principal = f"user:{family.user_id}" if family else ""
        return audit_of(tenant, self.table_of(tenant.id), replace(origin, principal=principal), self.clock)

    def _issue(
        self, family: TokenFamily, text: str, user: User, tenant: Tenant, scopes: frozenset[str] | None
    ) -> IssuedTokens:
        signer = AccessSigner(self.signing_key(), self.issuer, self.clock)
        return signer.issue(family, text, user, tenant, scopes)

    def _store(self, tenant_id: TenantId) -> TokenFamilyStore:
        return TokenFamilyStore(self.table_of(tenant_id))
