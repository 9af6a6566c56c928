"""The data model: the keys of all items in the table.

The keys in this list are relative. A `TenantTable` adds the prefix `TENANT#<tenant_id>` to every partition, in the
table, gsi1 and gsi2. A `PlatformTable` adds the prefix `PLATFORM`. Therefore no store can address another tenant's
partition. `·` means the prefix without a suffix.

    partition              sort                        item, and the code that reads it
    TENANT#<id>, of a tenant
    ·                      TENANT                      tenant, settings, config_version (authorizer, every call)
    ·                      COUNTS                      numbers of users, active admins, agents, tools, files, data sets, routing rules and prompts
    ·                      KEY#<key>                   API key (authorizer: one batch with TENANT) · list
    ·                      USER#<usr>                  user (authorizer: one batch with TENANT) · list
    ·                      EMAIL#<email>               marker: unique email -> user      login: email across tenants
    ·                      AGENT#<agt>                 agent configuration · list        AGENT_NAME#<name>: marker
    ·                      CLIENT#<cli> CONNECTION#<usr>#<provider>
    ·                      IDP#<idp>                   identity provider · list; KEYSET#<idp>: its issuer's public keys
    ·                      PERSON#<hash>               an issuer's subject -> user (authorizer: same batch); IDP_ISSUER#<hash>: marker
    ·                      DELETED#<hash>              a user with this id or email was deleted: older external tokens are rejected
    ·                      POLICY#<pol>                a policy
    ·                      TOOL#<name>                 an HTTP tool (turn: one batch, if its agent has such tools) · list
                                                       TOOL_ID#<tol>: marker: id -> name
    ·                      DATASET#<name>              a data set · list
    ·                      RULE#<rul>                  a routing rule (turn: one query, if its model is `auto`) · list
                                                       RULE_NAME#<name>: marker
    ·                      PROMPT#<prm>                a prompt with its newest version (turn: one batch, if its agent has a prompt) · list
                                                       PROMPT_NAME#<name>: marker; PROMPT_VERSION#<prm>#<n>: a version · list
    ·                      MODEL_KEY#<provider>        the tenant's own API key for a model provider (turn, if the tenant has one)
    ·                      REBUILD DRIFT               last rebuild of counters from the ledger; last comparison with it (operator)
    ·                      ARCHIVE                     position of the archiver in the list of sessions (atrium.sessions.archiving)
    ·                      MONTH_TOTAL#<yyyy-mm>       monthly total of an erased ledger; kept with the tombstone
    ADMISSION              TENANT|<scope>              limits, windows, slots of a scope: one conditional write (atrium.quotas)
                                                       sweep: items with slots, until the sweeper finds them without slots
    TOOL_CALLS             TENANT|<scope>|TOOL#<name>  number of tool calls in the minute, also of one tool
    SESSION#<ses>          HEAD                        session item: its running turn, its usage by day
                                                       gsi1 own, gsi2 all: by activity, updated every five minutes;
                                                       gsi2 deleted: until it is restored or removed · sweep: when it is removed
    SESSION#<ses>          FORK                        marker of a fork whose runs are being copied; gsi2 deleted · sweep
    SESSION#<ses>          RUN#<ulid>                  run = turn with its messages, oldest first (run ids contain the session)
                                                       gsi1 own, gsi2 all: newest first · sweep: open runs without a slot or taken over
                                                       archived: the messages are in a segment in S3 (atrium.runs.segments)
    RUN#<run>              EVENTS#<last seq>           a batch of events
    RUN#<run>              STEP#<n>                    a recorded step, seven days · APPROVAL#<call>: a decision
    FOLLOWERS              FOLLOWERS                   connections that follow a run's events: follower -> end of its lease
    OAUTH_STATES           <hash>                      marker: the state of this flow was used
    FILES                  <path>                      a file: size, type, name of its blob (atrium.files)
    IDEMPOTENCY            <hash>                      a saved response, 24 h
    LEDGER#<yyyy-mm>       <run>                       one settled call; rebuild, statements
    USAGE#<yyyy-mm-dd>     <group>#<value>             usage aggregates from the stream: USER# KEY# CLIENT# END_USER# · TOTAL: total,
                                                       and by model, agent, tool; MODEL# AGENT# TOOL#: values that do not fit into it
    BEGUN#<yyyy-mm-dd>     <ses>                       a session that was created without a turn and was counted; rebuild
    AUDIT#<yyyy-mm-dd>     <time>#<evt>                audit, by time; gsi1 by type, gsi2 by user
    FAMILY#<id>            TOKEN                       token family of a login and its last refresh token (authorizer: one batch)
    CODE#<hash>            CODE                        OAuth code; REVOKED#<jti> REVOKED: a client's token (authorizer)
                                                       gsi1 issued: families, codes and these markers, by user or client

Indexes (all KEYS_ONLY): gsi1 and gsi2 (lists of one tenant), sweep (`SWEEP#<shard>`: items with slots, and open runs
without a slot or that were taken over; `PURGE#<shard>`: sessions by the time at which they are removed;
`RETENTION#<minute>`: tenants that delete idle sessions) and login (`EMAIL#<email>`). The last two contain all tenants;
only separate roles may read them (ADR 0003).
"""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256

from atrium.kernel.ids import (
    AgentId, AuditEventId, ClientId, FamilyId, KeyId, PolicyId, PromptId, RoutingRuleId, RunId, SessionId, TenantId, ToolId, UserId, own_ulid,
    session_of,
)  # fmt: skip

SWEEP_SHARDS = 8
RETENTION_MINUTES = 60
SEQUENCE_DIGITS = 8
ADMISSION_SWEPT = "admission"
OLD_ADMISSIONS = "ADMISSION_OF"
"""The partition of admission items of users, keys and agents in the previous layout. A rebuild deletes these items."""
FILES = "FILES"
IDEMPOTENCY = "IDEMPOTENCY"
OAUTH_STATES = "OAUTH_STATES"
TOOL_CALLS = "TOOL_CALLS"
DATASETS = "DATASET#"
"""The prefix of the sort keys of data sets."""
STEP = "STEP#"
"""The prefix of the sort keys of a run's steps."""
APPROVAL = "APPROVAL#"
"""The prefix of the sort keys of the decisions about a run's tool calls."""
MONTH_TOTALS = "MONTH_TOTAL#"
"""The prefix of the sort keys of monthly totals."""


@dataclass(frozen=True, slots=True)
class Key:
    """The key of an item, relative to the prefix of the tenant or platform. An empty `partition` means the prefix."""

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
    """Return the key of the item that stores the numbers of a tenant's users, agents, tools and files."""
    return Key("", "COUNTS")


def api_key(key_id: KeyId) -> Key:
    return Key("", _join("KEY", key_id))


def user(user_id: UserId) -> Key:
    return Key("", _join("USER", user_id))


def email(address: str) -> Key:
    return Key("", _join("EMAIL", sha256(address.encode()).hexdigest()))


def login_partition(address: str) -> str:
    """Return the partition of an email address in the login index, which contains the users of all tenants."""
    return _join("EMAIL", sha256(address.encode()).hexdigest())


def login_sort(tenant_id: TenantId, user_id: UserId) -> str:
    return _join(tenant_id, user_id)


def agent(agent_id: AgentId) -> Key:
    return Key("", _join("AGENT", agent_id))


def agent_name(name: str) -> Key:
    return Key("", _join("AGENT_NAME", sha256(name.encode()).hexdigest()))


def policy(policy_id: PolicyId) -> Key:
    return Key("", _join("POLICY", policy_id))


def file(path: str) -> Key:
    return Key(FILES, path)


def tool(name: str) -> Key:
    return Key("", _join("TOOL", name))


def tool_id(some_id: ToolId) -> Key:
    """Return the key of the marker that contains the name of a tool."""
    return Key("", _join("TOOL_ID", some_id))


def dataset(name: str) -> Key:
    return Key("", _join("DATASET", name))


def routing_rule(rule_id: RoutingRuleId) -> Key:
    return Key("", _join("RULE", rule_id))


def routing_rule_name(name: str) -> Key:
    return Key("", _join("RULE_NAME", sha256(name.encode()).hexdigest()))


def prompt(prompt_id: PromptId) -> Key:
    return Key("", _join("PROMPT", prompt_id))


def prompt_name(name: str) -> Key:
    return Key("", _join("PROMPT_NAME", sha256(name.encode()).hexdigest()))


def prompt_version(prompt_id: PromptId, version: int) -> Key:
    return Key("", f"{prompt_versions(prompt_id)}{version:0{SEQUENCE_DIGITS}}")


def prompt_versions(prompt_id: PromptId) -> str:
    """Return the prefix of the sort keys of a prompt's versions."""
    return f"{_join('PROMPT_VERSION', prompt_id)}#"


def model_key(provider: str) -> Key:
    return Key("", _join("MODEL_KEY", provider))


def session(session_id: SessionId) -> Key:
    return Key(_join("SESSION", session_id), "HEAD")


def sessions_of(owner: str) -> str:
    """Return the gsi1 partition of an owner's sessions."""
    return _join("OWNER", owner, "SESSIONS")


def all_sessions() -> str:
    """Return the gsi2 partition of a tenant's sessions."""
    return "SESSIONS"


def deleted_sessions() -> str:
    """Return the gsi2 partition of a tenant's deleted sessions, and of forks that are not complete."""
    return "DELETED_SESSIONS"


def fork(session_id: SessionId) -> Key:
    """Return the key of the marker that a session exists only as copied runs, until the fork is complete."""
    return Key(session(session_id).partition, "FORK")


def purge_partition(shard: int) -> str:
    """Return the partition of the sweep index with the sessions to remove, sorted by time."""
    return f"PURGE#{shard}"


def purge_sort(due_text: str, tenant_id: TenantId, session_id: SessionId) -> str:
    return _join(due_text, tenant_id, session_id)


def retention_partition(minute: int) -> str:
    """Return the partition of the sweep index with the tenants whose idle sessions are deleted in a minute of the
    hour.
    """
    return f"RETENTION#{minute}"


def retention_minute(tenant_id: TenantId) -> int:
    return sha256(tenant_id.encode()).digest()[0] % RETENTION_MINUTES


def activity(moment_text: str, session_id: SessionId) -> str:
    """Return the sort key that orders sessions by the time of their last activity."""
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


def events(run_id: RunId, last_sequence: int) -> Key:
    return Key(_join("RUN", run_id), f"EVENTS#{last_sequence:0{SEQUENCE_DIGITS}}")


def step(run_id: RunId, number: int) -> Key:
    return Key(_join("RUN", run_id), f"{STEP}{number:0{SEQUENCE_DIGITS}}")


def approval(run_id: RunId, tool_call_id: str) -> Key:
    """Return the key of the decision about a tool call."""
    _join(tool_call_id)
    return Key(_join("RUN", run_id), f"{APPROVAL}{tool_call_id}")


def followers() -> Key:
    return Key("FOLLOWERS", "FOLLOWERS")


def sweep_partition(shard: int) -> str:
    return f"SWEEP#{shard}"


def sweep_shard(name: str) -> int:
    """Return the shard of the sweep index for a run or an admission item, derived from its name."""
    return sha256(name.encode()).digest()[0] % SWEEP_SHARDS


def sweep_sort(tenant_id: TenantId, run_id: RunId) -> str:
    return _join(tenant_id, run_id)


def admission_sweep_sort(tenant_id: TenantId, place: str) -> str:
    return _join(tenant_id, ADMISSION_SWEPT, place)


def idempotency(digest: str) -> Key:
    return Key(IDEMPOTENCY, digest)


def archive() -> Key:
    """Return the key of the item that stores which sessions of a tenant were archived."""
    return Key("", "ARCHIVE")


def audit_day(day: date) -> str:
    """Return the partition of a day's audit events, sorted by time."""
    return _join("AUDIT", day.isoformat())


def audit_moment(moment_text: str, event_id: AuditEventId) -> str:
    """Return the sort key of an audit event in the table and in both indexes."""
    return _join(moment_text, event_id)


def audit_of_type(event_type: str) -> str:
    """Return the gsi1 partition of the audit events of a type."""
    return _join("AUDIT_TYPE", event_type)


def audit_of_principal(principal: str) -> str:
    """Return the gsi2 partition of the audit events of a principal (`user:…`, `key:…`)."""
    return _join("AUDIT_OF", principal)


def family(family_id: FamilyId) -> Key:
    """Return the key of a login's token family."""
    return Key(_join("FAMILY", family_id), "TOKEN")


def client(client_id: ClientId) -> Key:
    return Key("", _join("CLIENT", client_id))


def oauth(kind: str, text: str) -> Key:
    return Key(_join(kind, sha256(text.encode()).hexdigest()), kind)


def issued() -> str:
    """Return the gsi1 partition of issued credentials: families, codes and markers of revoked tokens."""
    return "ISSUED"


def issued_to(subject: str, name: str) -> str:
    """Return the gsi1 sort key of a credential that was issued to a user or client.

    If `name` is empty, return the prefix of the sort keys of all credentials of this user or client.
    """
    return f"{_join(subject)}#{name}"


def admissions() -> str:
    """Return the partition of a tenant's admission items."""
    return "ADMISSION"


def admission(scope_id: str) -> Key:
    """Return the key of a scope's admission item.

    An empty `scope_id` means the tenant. Other scopes are users, API keys and agents.
    """
    return Key(admissions(), scope_id or "TENANT")


def tool_calls(scope_id: str) -> Key:
    """Return the key of the item that counts a scope's tool calls per minute."""
    return Key(TOOL_CALLS, scope_id or "TENANT")


def ledger_month(month_text: str) -> str:
    """Return the partition of the ledger entries of runs that started in a month, such as `2026-11`."""
    return f"LEDGER#{month_text}"


def ledger(month_text: str, run_id: RunId) -> Key:
    return Key(ledger_month(month_text), run_id)


def begun_day(day: str) -> str:
    """Return the partition of the sessions of a day that were counted and were created without a turn."""
    return f"BEGUN#{day}"


def begun(day: str, session_id: SessionId) -> Key:
    return Key(begun_day(day), session_id)
