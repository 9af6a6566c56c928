"""Sample items for every type of item key, by the function that builds the key."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from atrium.kernel.ids import (
    AgentId,
    ClientId,
    FamilyId,
    IdentityProviderId,
    KeyId,
    PolicyId,
    PromptId,
    RoutingRuleId,
    RunId,
    SessionId,
    TenantId,
    ToolId,
    UserId,
)  # fmt: skip
from atrium.storage import keys, platform_keys, provider_keys, throttle_keys, usage_keys
from atrium.storage.keys import Key
from atrium.storage.table import BoundTable, PhysicalTable, PlatformTable, TenantTable
from atrium.storage.writes import ANY, Put

ULID = "01k6r5m2x8f3v9q4w7t1y0z5aa"
USER, SESSION, KEY = UserId(f"usr_{ULID}"), SessionId(f"ses_{ULID}"), KeyId(f"key_{ULID}")
RUN = RunId(f"run_{ULID}{ULID}")
DAY = datetime(2026, 11, 20, tzinfo=UTC)
EMAIL = "ann@acme.example"

PROMPT = PromptId(f"prm_{ULID}")

type Item = tuple[Key, dict[str, Any]]
type Sample = Callable[[TenantId], Iterable[Item]]


def one(key: Key, **attributes: Any) -> Sample:
    return lambda _: [(key, attributes)]


def listed(*, gsi1: str = "", gsi2: str = "", at: str = "x") -> dict[str, Any]:
    first = {"gsi1pk": gsi1, "gsi1sk": at} if gsi1 else {}
    return first | ({"gsi2pk": gsi2, "gsi2sk": at} if gsi2 else {})


# Function that builds a key -> sample items of a tenant, in the format that the stores write.
TENANTS: dict[str, Sample] = {
    "keys.counts": one(keys.counts(), users=1),
    "keys.api_key": one(keys.api_key(KEY)),
    "keys.user": one(keys.user(USER), id=USER, email=EMAIL),
    "keys.email": one(keys.email(EMAIL), user_id=USER),
    "keys.agent": one(keys.agent(AgentId(f"agt_{ULID}"))),
    "keys.agent_name": one(keys.agent_name("default")),
    "keys.policy": one(keys.policy(PolicyId(f"pol_{ULID}"))),
    "keys.tool": one(keys.tool("weather")),
    "keys.tool_id": one(keys.tool_id(ToolId(f"tol_{ULID}"))),
    "keys.dataset": one(keys.dataset("orders")),
    "keys.routing_rule": one(keys.routing_rule(RoutingRuleId(f"rul_{ULID}"))),
    "keys.routing_rule_name": one(keys.routing_rule_name("proofs")),
    "keys.prompt": one(keys.prompt(PROMPT)),
    "keys.prompt_name": one(keys.prompt_name("base")),
    "keys.prompt_version": one(keys.prompt_version(PROMPT, 1)),
    "keys.model_key": one(keys.model_key("openai"), encrypted=b"x"),
    "keys.client": one(keys.client(ClientId(f"cli_{ULID}"))),
    "keys.session": one(keys.session(SESSION), **listed(gsi1=keys.sessions_of(USER), gsi2=keys.all_sessions())),
    "keys.deleted_sessions": one(keys.session(SessionId(f"ses_{ULID[::-1]}")), **listed(gsi2=keys.deleted_sessions())),
    "keys.fork": one(keys.fork(SessionId(f"ses_{ULID[:-2]}bb")), **listed(gsi2=keys.deleted_sessions(), at="y")),
    "keys.run": one(keys.run(RUN), id=RUN, ended_at="x", **listed(gsi2=keys.all_runs(), at=RUN)),
    "keys.events": one(keys.events(RUN, 2), batch="x"),
    "keys.step": one(keys.step(RUN, 1), step="x"),
    "keys.approval": one(keys.approval(RUN, "call_1"), decision="x"),
    "keys.file": one(keys.file("notes/todo.txt"), content_id=f"fil_{ULID}"),
    "keys.idempotency": one(keys.idempotency("hash")),
    "keys.audit_day": one(Key(keys.audit_day(DAY.date()), "2026-11-20T00:00:00Z#evt_1")),
    "keys.family": one(keys.family(FamilyId(f"fam_{ULID}")), **listed(gsi1=keys.issued())),
    "keys.oauth": lambda _: [
        (keys.oauth(kind, "text"), listed(gsi1=keys.issued(), at=kind)) for kind in ("CODE", "REVOKED")
    ],
    "keys.admission": lambda _: [(keys.admission(scope), {"v": 2}) for scope in ("", USER)],
    "keys.tool_calls": one(keys.tool_calls("")),
    "keys.followers": one(keys.followers(), slots={"f1": 1}),
    "keys.ledger": one(keys.ledger("2026-11", RUN), at="2026-11-20T00:00:00Z", cost_nanos=7, own_key=True),
    "usage_keys.usage": one(usage_keys.usage("2026-11-20", "USER", USER)),
    "keys.begun": one(keys.begun("2026-11-20", SESSION)),
    "usage_keys.rebuild": one(usage_keys.rebuild()),
    "usage_keys.drift": one(usage_keys.drift()),
    "keys.archive": one(keys.archive(), through="x"),
    "keys.OLD_ADMISSIONS": one(Key(keys.OLD_ADMISSIONS, USER)),
    "provider_keys.identity_provider": one(provider_keys.identity_provider(IdentityProviderId(f"idp_{ULID}"))),
    "provider_keys.provider_issuer": one(provider_keys.provider_issuer("digest")),
    "provider_keys.key_set": one(provider_keys.key_set(IdentityProviderId(f"idp_{ULID}"))),
    "provider_keys.external_identity": one(provider_keys.external_identity("digest"), user_id=USER),
    "provider_keys.deletion": one(provider_keys.deletion("digest")),
    "provider_keys.used_state": one(provider_keys.used_state("digest")),
    "provider_keys.connection": one(provider_keys.connection(USER, "google")),
}
# Function that builds a key -> sample items of the platform that contain data about a tenant.
PLATFORMS: dict[str, Sample] = {
    "platform_keys.tenant_name": lambda tenant: [
        (platform_keys.tenant_name(f"name of {tenant}"), {"tenant_id": tenant, "claim": "x"})
    ],
    "keys.idempotency": lambda tenant: [
        (keys.idempotency(f"path {tenant}"), {"path": f"/v1/tenants/{tenant}/suspend", "saved": {"run_id": "x"}}),
        (
            keys.idempotency(f"made {tenant}"),
            {"path": "/v1/tenants", "saved": {"headers": {"location": f"https://a/v1/tenants/{tenant}"}}},
        ),
    ],
    "provider_keys.issuer": lambda tenant: [
        (provider_keys.issuer(f"of {tenant}"), {"tenant_id": tenant, **listed(gsi2=provider_keys.issuers_of(tenant))}),
    ],
    "throttle_keys.email_failures": lambda tenant: [(throttle_keys.email_failures(tenant, EMAIL, "ANY"), {"n": 1})],
    "throttle_keys.pair_failures": lambda tenant: [(throttle_keys.pair_failures(tenant, EMAIL, "ANY", "::1"), {})],
    "throttle_keys.known_address": lambda tenant: [(throttle_keys.known_address(tenant, EMAIL, "::1"), {})],
    "throttle_keys.unlocks": lambda tenant: [(throttle_keys.unlocks("gone@acme.example", tenant), {})],
}
STAYS = {"keys.tenant", "platform_keys.registered_tenant", "usage_keys.month_total"}
WHILE_IT_LASTS = {"platform_keys.deletion"}
# Items of one user. A user id belongs to only one tenant.
OF_A_USER = {"throttle_keys.password_attempts"}
UNRELATED = {
    "platform_keys.circuit", "platform_keys.platform_concurrency", "platform_keys.platform_key",
    "platform_keys.first_platform_key", "platform_keys.module",
    "platform_keys.drift_round", "platform_keys.archive_round", "throttle_keys.address_failures",
}  # fmt: skip
# Functions that build parts of the keys above: partitions, sort keys, and parts of index keys.
PARTS = {
    "keys.login_partition", "keys.login_sort", "keys.sessions_of", "keys.all_sessions", "keys.activity", "keys.month",
    "keys.all_runs", "keys.runs_of", "keys.sweep_partition", "keys.sweep_shard", "keys.sweep_sort",
    "keys.admission_sweep_sort", "keys.audit_moment", "keys.audit_of_type", "keys.audit_of_principal", "keys.issued",
    "keys.issued_to", "keys.admissions", "keys.ledger_month", "usage_keys.usage_day", "usage_keys.usage_values",
    "keys.begun_day", "keys.purge_partition", "keys.purge_sort", "keys.retention_partition", "keys.retention_minute",
    "provider_keys.issuers_of", "provider_keys.connections_of", "throttle_keys.login_partition",
    "throttle_keys.unlocks_of", "keys.prompt_versions",
}  # fmt: skip


def put_shapes(physical: PhysicalTable, tenant: TenantId) -> None:
    """Write sample items of every type: the items of the tenant, and the platform's items about the tenant."""
    _put_all(TenantTable(physical, tenant), tenant, TENANTS)
    _put_all(PlatformTable(physical), tenant, PLATFORMS)


def _put_all(table: BoundTable, tenant: TenantId, samples: dict[str, Sample]) -> None:
    for key, attributes in chain.from_iterable(sample(tenant) for sample in samples.values()):
        table.write(Put(key, attributes, ANY))
