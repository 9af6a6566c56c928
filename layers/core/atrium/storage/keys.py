"""The whole data model: one table, drawn here. Keys below are relative: a `TenantTable` puts
`TENANT#<tenant_id>` before every partition, in the table and in gsi1 and gsi2, a `PlatformTable` puts
`PLATFORM`; so no store can name another tenant's partition. `·` stands for the bare prefix.

    partition              sort                        item, and who asks for it
    TENANT#<id>, of a tenant
    ·                      TENANT                      tenant, settings, config_version (authorizer, every call)
    ·                      COUNTS                      how many users, active admins and agents there are
    ·                      KEY#<key>                   API key (authorizer: one batch with TENANT) · list
    ·                      USER#<usr>                  user (authorizer: one batch with TENANT) · list
    ·                      EMAIL#<email>               marker: unique email -> user      login: email across tenants
    ·                      AGENT#<agt>                 agent config · list               AGENT_NAME#<name>: marker
    ·                      CLIENT#<cli> CONNECTION#<usr>#<provider>
    ·                      IDP#<idp>                   identity provider · list; KEYSET#<idp>: its issuer's public keys
    ·                      PERSON#<hash>               an issuer's subject -> user (authorizer: in that batch); IDP_ISSUER#<hash>: marker
    ·                      DELETED#<hash>              a user of this id, or email, was deleted: older foreign tokens end
    ·                      POLICY#<pol>                a policy
    ·                      REBUILD DRIFT               counters rebuilt from the ledger; compared with it (operator)
    ·                      MONTH_TOTAL#<yyyy-mm>       what an erased ledger summed up to; stays beside the tombstone
    ADMISSION              TENANT|<scope>              limits, windows, slots of a scope: one conditional write (atrium.quotas)
                                                       sweep: those with slots, until the sweeper finds none
    TOOL_CALLS             TENANT|<scope>              tool calls of a minute
    SESSION#<ses>          HEAD                        session, its live turn, its usage by day
                                                       gsi1 own, gsi2 all: by activity, moved every five minutes;
                                                       gsi2 deleted: while its runs are removed
    SESSION#<ses>          RUN#<ulid>                  run = turn with its messages, oldest first (run ids carry the session)
                                                       gsi1 own, gsi2 all: newest first · sweep: open runs without a slot
    RUN#<run>              EVENTS#<first seq>          a batch of events
    FOLLOWERS              FOLLOWERS                   who follows events of runs now: follower -> end of its lease
    OAUTH_STATES           <hash>                      mark: a flow out to a provider has come back
    IDEMPOTENCY            <hash>                      a saved answer, 24 h
    LEDGER#<yyyy-mm>       <run>                       one settled call; rebuild, statements
    USAGE#<yyyy-mm-dd>     <group>#<value>             sums made by the stream: USER# KEY# CLIENT# END_USER# · TOTAL: all,
                                                       and by model, agent, tool; MODEL# AGENT# TOOL#: those beyond it
    BEGUN#<yyyy-mm-dd>     <ses>                       a session that began without a turn and was counted; rebuild
    AUDIT#<yyyy-mm-dd>     <time>#<evt>                audit, by time; gsi1 by type, gsi2 by user
    FAMILY#<id>            TOKEN                       login and its last refresh token (authorizer: one batch)
    CODE#<hash>            CODE                        OAuth code; REVOKED#<jti> REVOKED: a client's token (authorizer)
                                                       gsi1 issued: families, codes and these marks, by user or client
    PLATFORM, of the operator
    TENANTS                <ten>                       registry: list of tenants
    TENANT_NAME            <name>                      marker: unique name -> tenant
    ISSUER#<hash>          MARKER                      issuer and audience -> tenant and provider (authorizer, kept in memory)
                                                       gsi2 by tenant
    KEYS                   KEY#<key>                   platform keys; FIRST: marker of the one that bootstrap made
    CONCURRENCY#<n>        SLOTS                       the platform limit: slots of some turns
    CIRCUIT#<model>        STATE                       circuit breaker of a model (chat, once in 10 s and container)
    SIGNING_KEYS           <kid>                       public halves · IDEMPOTENCY <hash>
    THROTTLE#<what>        <window>                    login throttles (`throttle_keys`); MODULES <name>: health
    DRIFT                  ROUND                       how far the day's comparison of counters has come
    DELETIONS              <ten>                       a deletion that has begun, and how far (sweeper, every minute)
    AUDIT#<yyyy-mm-dd>     <time>#<evt>                the platform's own audit: deletions of tenants

Indexes: gsi1, gsi2 (tenant's views, KEYS_ONLY), sweep (`SWEEP#<shard>`: items with slots, open runs without one; KEYS_ONLY) and
login (`EMAIL#<email>`, KEYS_ONLY). The last two cross tenants, under roles of their own (ADR 0003).
"""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256

from atrium.kernel.ids import (
    AgentId, AuditEventId, ClientId, FamilyId, KeyId, PolicyId, RunId, SessionId, TenantId, UserId, own_ulid, session_of,
)  # fmt: skip

SWEEP_SHARDS = 8
SEQUENCE_DIGITS = 8
ADMISSION_SWEPT = "admission"
DELETIONS = "DELETIONS"
OLD_ADMISSIONS = "ADMISSION_OF"
"""The partition of the previous layout's admission items of users, keys and agents; a rebuild deletes them."""
IDEMPOTENCY = "IDEMPOTENCY"
OAUTH_STATES = "OAUTH_STATES"
TOOL_CALLS = "TOOL_CALLS"
MONTH_TOTALS = "MONTH_TOTAL#"
"""The prefix of the sort keys of monthly totals."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key relative to the prefix; an empty `partition` is the prefix itself."""

    partition: str
    sort: str


def _join(*parts: str) -> str:
    for part in parts:
        if not part or "#" in part:
            raise ValueError("a key part must be text without '#'")
    return "#".join(parts)


def tenant() -> Key:
    return Key("", "TENANT")


def counts() -> Key:
    """Return the item that counts a tenant's users and agents."""
    return Key("", "COUNTS")


def api_key(key_id: KeyId) -> Key:
    return Key("", _join("KEY", key_id))


def user(user_id: UserId) -> Key:
    return Key("", _join("USER", user_id))


def email(address: str) -> Key:
    return Key("", _join("EMAIL", sha256(address.encode()).hexdigest()))


def login_partition(address: str) -> str:
    """Return the partition of an address in the login index, which has the users of all tenants."""
    return _join("EMAIL", sha256(address.encode()).hexdigest())


def login_sort(tenant_id: TenantId, user_id: UserId) -> str:
    return _join(tenant_id, user_id)


def agent(agent_id: AgentId) -> Key:
    return Key("", _join("AGENT", agent_id))


def agent_name(name: str) -> Key:
    return Key("", _join("AGENT_NAME", sha256(name.encode()).hexdigest()))


def policy(policy_id: PolicyId) -> Key:
    return Key("", _join("POLICY", policy_id))


def session(session_id: SessionId) -> Key:
    return Key(_join("SESSION", session_id), "HEAD")


def sessions_of(owner: str) -> str:
    """Return the gsi1 partition of an owner's sessions."""
    return _join("OWNER", owner, "SESSIONS")


def all_sessions() -> str:
    """Return the gsi2 partition of a tenant's sessions."""
    return "SESSIONS"


def deleted_sessions() -> str:
    """Return the gsi2 partition of a tenant's sessions whose deletion has begun."""
    return "DELETED_SESSIONS"


def activity(moment_text: str, session_id: SessionId) -> str:
    """Return the sort key of a session by last activity."""
    return _join(moment_text, session_id)


def month(moment: datetime | date) -> str:
    return f"{moment:%Y-%m}"


def run(run_id: RunId) -> Key:
    """Return the key of a run, in the partition of its session."""
    return Key(_join("SESSION", session_of(run_id)), _join("RUN", own_ulid(run_id)))


def all_runs() -> str:
    """Return the gsi2 partition of a tenant's runs."""
    return "RUNS"


def runs_of(owner: str) -> str:
    """Return the gsi1 partition of an owner's runs."""
    return _join("OWNER", owner, "RUNS")


def events(run_id: RunId, first_sequence: int) -> Key:
    return Key(_join("RUN", run_id), f"EVENTS#{first_sequence:0{SEQUENCE_DIGITS}}")


def followers() -> Key:
    return Key("FOLLOWERS", "FOLLOWERS")


def sweep_partition(shard: int) -> str:
    return f"SWEEP#{shard}"


def sweep_shard(name: str) -> int:
    """Return the shard of a run or an admission item, derived from its id."""
    return sha256(name.encode()).digest()[0] % SWEEP_SHARDS


def sweep_sort(tenant_id: TenantId, run_id: RunId) -> str:
    return _join(tenant_id, run_id)


def admission_sweep_sort(tenant_id: TenantId, place: str) -> str:
    return _join(tenant_id, ADMISSION_SWEPT, place)


def idempotency(digest: str) -> Key:
    return Key(IDEMPOTENCY, digest)


def audit_day(day: date) -> str:
    """Return the partition of a day's audit events, sorted by time."""
    return _join("AUDIT", day.isoformat())


def audit_moment(moment_text: str, event_id: AuditEventId) -> str:
    """Return the sort key of an audit event, in the table and in both indexes."""
    return _join(moment_text, event_id)


def audit_of_type(event_type: str) -> str:
    """Return the gsi1 partition of the events of a type."""
    return _join("AUDIT_TYPE", event_type)


def audit_of_principal(principal: str) -> str:
    """Return the gsi2 partition of the events of a principal (`user:…`, `key:…`)."""
    return _join("AUDIT_OF", principal)


def family(family_id: FamilyId) -> Key:
    """Return the key of a login's token family."""
    return Key(_join("FAMILY", family_id), "TOKEN")


def client(client_id: ClientId) -> Key:
    return Key("", _join("CLIENT", client_id))


def oauth(kind: str, text: str) -> Key:
    return Key(_join(kind, sha256(text.encode()).hexdigest()), kind)


def issued() -> str:
    """Return the gsi1 partition of what was issued to users and clients: families, codes, marks of revoked tokens."""
    return "ISSUED"


def issued_to(subject: str, name: str) -> str:
    """Return the sort key of something issued to a user or client; an empty name gives the prefix of all of it."""
    return f"{_join(subject)}#{name}"


def admissions() -> str:
    """Return the partition of a tenant's admission items."""
    return "ADMISSION"


def admission(scope_id: str) -> Key:
    """Return the admission item of a scope: the tenant's own for the empty id, or a user's, key's or agent's."""
    return Key(admissions(), scope_id or "TENANT")


def tool_calls(scope_id: str) -> Key:
    """Return the item that counts a scope's tool calls per minute."""
    return Key(TOOL_CALLS, scope_id or "TENANT")


def platform_concurrency(item: int) -> Key:
    """Return one of the items of the platform limit."""
    return Key(f"CONCURRENCY#{item}", "SLOTS")


def circuit(model_id: str) -> Key:
    """Return the key of a model's circuit breaker."""
    return Key(_join("CIRCUIT", model_id), "STATE")


def registered_tenant(tenant_id: TenantId) -> Key:
    return Key("TENANTS", tenant_id)


def deletion(tenant_id: TenantId) -> Key:
    return Key(DELETIONS, tenant_id)


def tenant_name(name: str) -> Key:
    return Key("TENANT_NAME", name)


def platform_key(key_id: KeyId) -> Key:
    return Key("KEYS", _join("KEY", key_id))


def first_platform_key() -> Key:
    return Key("KEYS", "FIRST")


def module(name: str) -> Key:
    """Return the key of a module's health."""
    return Key("MODULES", name)


def ledger_month(month_text: str) -> str:
    """Return the partition of the calls whose run began in a month: `2026-11`."""
    return f"LEDGER#{month_text}"


def ledger(month_text: str, run_id: RunId) -> Key:
    return Key(ledger_month(month_text), run_id)


def month_total(month_text: str) -> Key:
    """Return the item with the sums of a month whose ledger was erased with its tenant."""
    return Key("", f"{MONTH_TOTALS}{month_text}")


def usage_day(day: str) -> str:
    """Return the partition of a day's sums."""
    return f"USAGE#{day}"


def usage(day: str, group: str, value: str = "") -> Key:
    """Return the item of a day's sum: `usage("2026-11-21", "TOTAL")`, the shared one, or one of a group's values."""
    return Key(usage_day(day), f"{group}#{value}" if value else group)


def usage_values(day: str, group: str, after: str) -> tuple[str, tuple[str, str]]:
    """Return the partition of a day's sums, and the range of those of a group whose value comes after one."""
    last = f"{group}{chr(ord('#') + 1)}"
    return usage_day(day), (f"{group}#{after}\0" if after else f"{group}#", last)


def begun_day(day: str) -> str:
    """Return the partition of the sessions that began on a day without a turn, and were counted."""
    return f"BEGUN#{day}"


def begun(day: str, session_id: SessionId) -> Key:
    return Key(begun_day(day), session_id)


def rebuild() -> Key:
    """Return a tenant's last rebuild of counters, done or under way."""
    return Key("", "REBUILD")


def drift() -> Key:
    """Return what the last comparison of a tenant's counters with its ledger has found."""
    return Key("", "DRIFT")


def drift_round() -> Key:
    """Return how far the day's comparison of all tenants has come; the platform's."""
    return Key("DRIFT", "ROUND")
