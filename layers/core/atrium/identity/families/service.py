"""Issues and refreshes tokens for login, OAuth and social sign-in.

Each refresh token can be used once, in exchange for the next token. Reuse of an older token revokes the family. The
family's access tokens become invalid when the authorizer's cache expires. A client that lost a response may repeat the
predecessor of the last token within the grace period, and then receives the last token again. If the last token was
already used, the repetition counts as reuse.
"""

import secrets as random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from atrium.audit.bound import RefusalBound
from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.identity.families.decision import check_holder, classify_use
from atrium.identity.families.issuing import AccessSigner, make_token_family
from atrium.identity.families.model import IssuedTokens, TokenFamily
from atrium.identity.families.refresh_text import (
    EncodedRefreshToken,
    decode_refresh_token,
    derive_secret,
    encode_refresh_token,
)
from atrium.identity.families.store import TokenFamilyStore
from atrium.identity.signing import choose_signer
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.identity.verification import Refused
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, NotFound, ScopeRequired, TokenInvalid, Unavailable
from atrium.kernel.ids import FamilyId, TenantId, UserId
from atrium.settings import Environment
from atrium.storage.secrets import Pepper, Peppers, Secrets, SigningKey
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
    """Manages the logins of all tenants.

    A refresh token contains the id of its tenant. `issuer` is the issuer of the access tokens.
    """

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
        """Create a login for an authenticated user and return its first tokens.

        The writes in `also` are part of the same transaction. Raises `TransactionRefused` if a condition of the
        transaction fails. If `scopes` is None, the login always has all scopes of the user's current role.
        """
        pepper = self._peppers.current()
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
        """Return new tokens for a refresh token.

        If `scopes` is given, the access token has only these scopes. Raises `ScopeRequired` for a scope that was not
        granted. Raises `TokenInvalid`, `TokenExpired`, `TenantInactive` or `UserSuspended` if the token is refused.
        Reuse of an older token revokes the family and is audited.
        """
        token = self._read(text)
        store = self._store(token.tenant_id)
        family = store.get(token.family_id)
        tenant = TenantStore(store.table).get()
        grace = self.grace_seconds
        for _ in range(_ATTEMPTS):
            now = self.clock()
            use = classify_use(token, family, client_id=client_id, grace_seconds=grace, now=now)
            if isinstance(use, Refused) or family is None:
                raise self._refuse(use, token, family, tenant, origin)
            if use == "reused":
                self._end_reused_family(family, tenant, origin)
                raise TokenInvalid("The refresh token was already used, so its login was ended; log in again")
            user = UserStore(store.table).get(family.user_id)
            unfit = check_holder(family, user, tenant)
            if unfit is not None or user is None or tenant is None:
                raise self._refuse(unfit, token, family, tenant, origin)
            if scopes is not None and not family.allows(scopes):
                raise ScopeRequired
            if use == "repeated":
                return self._issue(family, self._successor(token, family), user, tenant, scopes)
            after, following = self._next(token, family)
            try:
                return self._issue(store.rotate(family, after), following, user, tenant, scopes)
            except ConditionFailed:
                # The token was valid when it was read. A concurrent call used it, or this write's response was lost.
                grace = max(grace, AT_ONCE_SECONDS)
                family = store.get(token.family_id)
        raise Unavailable(internal="a refresh was in conflict with others too often", retry_after_seconds=1)

    def login_of(self, text: str, tenant_id: TenantId) -> FamilyId | None:
        """Return the login id that a refresh token of this tenant contains, or None. The login may have ended."""
        token = decode_refresh_token(text, self.environment, self._peppers.find)
        return token.family_id if token is not None and token.tenant_id == tenant_id else None

    def get(self, tenant_id: TenantId, family_id: FamilyId) -> TokenFamily | None:
        return self._store(tenant_id).get(family_id)

    def find_current(self, text: str, tenant: Tenant) -> TokenFamily | None:
        """Return the token family of a valid refresh token, or None. The token is not marked as used."""
        token = decode_refresh_token(text, self.environment, self._peppers.find)
        if token is None or token.tenant_id != tenant.id:
            return None
        family = self.get(tenant.id, token.family_id)
        client_id = family.client_id if family else ""
        use = classify_use(token, family, client_id=client_id, grace_seconds=0, now=self.clock())
        user = UserStore(self.table_of(tenant.id)).get(family.user_id) if family else None
        return family if use == "current" and family and check_holder(family, user, tenant) is None else None

    def signing_key(self) -> SigningKey:
        """Return the current signing key."""
        return choose_signer(self.secrets.signing_keys(), self.clock())

    def end(self, tenant_id: TenantId, family_id: FamilyId, reason: str, *, recording: Put) -> bool:
        """Revoke one login and write an audit event; return False if the login is already revoked or does not exist."""
        store = self._store(tenant_id)
        try:
            store.table.transact([store.revocation(family_id, reason, now=self.clock()), recording])
        except TransactionRefused:
            return False
        return True

    def revoke_all(self, tenant_id: TenantId, user_id: UserId, *, recording: Put) -> None:
        """Revoke all logins of a user and write an audit event; raise `NotFound` if the user does not exist."""
        store = self._store(tenant_id)
        try:
            store.table.transact([store.ending_of_user(user_id, now=self.clock()), recording])
        except TransactionRefused as refused:
            raise NotFound("user not found") from refused

    @property
    def _peppers(self) -> Peppers:
        return self.secrets.peppers("refresh_token")

    def _read(self, text: str) -> EncodedRefreshToken:
        token = decode_refresh_token(text, self.environment, self._peppers.find)
        if token is None:
            raise TokenInvalid(
                "The refresh token is not valid; log in again", internal="refresh token: not issued here"
            )
        return token

    def _next(self, token: EncodedRefreshToken, family: TokenFamily) -> tuple[TokenFamily, str]:
        """Return the family after a rotation, and the text of the new refresh token."""
        now, pepper = self.clock(), self._peppers.current()
        draft = replace(
            family,
            sequence=family.sequence + 1,
            salt=random.token_bytes(_SALT_BYTES),
            before=family.digest,
            pepper_version=pepper.version,
            rotated_at=now,
            expires_at=family.next_end(now),
        )
        text, following = self._derive(token, draft, pepper)
        return replace(draft, digest=following.digest), text

    def _successor(self, token: EncodedRefreshToken, family: TokenFamily) -> str:
        pepper = self._peppers.find(family.pepper_version)
        if pepper is None:
            raise TokenInvalid(
                "The refresh token is not valid; log in again", internal="refresh token: its pepper was removed"
            )
        return self._derive(token, family, pepper)[0]

    def _derive(
        self, token: EncodedRefreshToken, family: TokenFamily, pepper: Pepper
    ) -> tuple[str, EncodedRefreshToken]:
        return encode_refresh_token(
            self.environment,
            pepper,
            family_id=family.id,
            tenant_id=family.tenant_id,
            sequence=family.sequence,
            secret=derive_secret(pepper, family.salt, token),
        )

    def _refuse(
        self,
        refused: object,
        token: EncodedRefreshToken,
        family: TokenFamily | None,
        tenant: Tenant | None,
        origin: Origin,
    ) -> Exception:
        """Record the refusal in the audit of the token's tenant, and return the error."""
        if not isinstance(refused, Refused):
            return TokenInvalid("The refresh token is not valid; log in again")
        if tenant is not None and tenant.is_visible:
            audit = self._audit(tenant, family, origin)
            details = {"by": "refresh token", "login": token.family_id, "reason": refused.reason}
            audit.record_refusal(details, self.refusals)
        return refused.failure(internal=f"refresh token: {refused.reason}")

    def _end_reused_family(self, family: TokenFamily, tenant: Tenant | None, origin: Origin) -> None:
        """Revoke a token family after refresh-token reuse and write an audit event. Idempotent."""
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
