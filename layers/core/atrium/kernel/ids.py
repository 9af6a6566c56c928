"""Typed ids, which consist of a prefix and a ULID in lower-case Crockford base32. Ids sort by creation time.

All ids are created in this module. Ids from outside must be checked with `is_id`. A valid id does not contain `#`.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import NewType

TenantId = NewType("TenantId", str)
UserId = NewType("UserId", str)
KeyId = NewType("KeyId", str)
AgentId = NewType("AgentId", str)
SessionId = NewType("SessionId", str)
MessageId = NewType("MessageId", str)
RunId = NewType("RunId", str)
PolicyId = NewType("PolicyId", str)
AuditEventId = NewType("AuditEventId", str)
IdentityProviderId = NewType("IdentityProviderId", str)
FamilyId = NewType("FamilyId", str)
ClientId = NewType("ClientId", str)
FileContentId = NewType("FileContentId", str)
ToolId = NewType("ToolId", str)
DatasetId = NewType("DatasetId", str)
RoutingRuleId = NewType("RoutingRuleId", str)
PromptId = NewType("PromptId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
ULID_PATTERN = _ULID.pattern
ULID_LENGTH = 26
# A run id also contains the session's ULID; a client id also contains the tenant's ULID.
TWICE = frozenset({"run", "cli"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def encode_ulid(raw: bytes) -> str:
    """Encode 16 bytes as a ULID of 26 characters."""
    number = int.from_bytes(raw)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def decode_ulid(text: str) -> bytes:
    """Decode a ULID to 16 bytes; raise `ValueError` if it is invalid."""
    if not _ULID.fullmatch(text):
        raise ValueError("not a ULID")
    number = 0
    for letter in text:
        number = number << 5 | _VALUES[letter]
    return number.to_bytes(16)


def _mint(prefix: str, now: datetime) -> str:
    milliseconds = (now - _EPOCH) // _MILLISECOND
    return f"{prefix}_{encode_ulid(milliseconds.to_bytes(6) + secrets.token_bytes(10))}"


def mint_tenant_id(now: datetime) -> TenantId:
    return TenantId(_mint("ten", now))


def mint_user_id(now: datetime) -> UserId:
    return UserId(_mint("usr", now))


def mint_key_id(now: datetime) -> KeyId:
    return KeyId(_mint("key", now))


def mint_agent_id(now: datetime) -> AgentId:
    return AgentId(_mint("agt", now))


def mint_session_id(now: datetime) -> SessionId:
    return SessionId(_mint("ses", now))


def mint_message_id(now: datetime) -> MessageId:
    return MessageId(_mint("msg", now))


def mint_run_id(now: datetime, session_id: SessionId) -> RunId:
    """Return a new run id: the run's ULID, then the session's ULID. A run can therefore be read without an index."""
    return RunId(_mint("run", now) + session_id.partition("_")[2])


def mint_stateless_run_id(now: datetime) -> RunId:
    """Return a new id of a run that belongs to no session."""
    return stateless_run_id(_mint("run", now).partition("_")[2])


def stateless_run_id(ulid: str) -> RunId:
    """Return the id of the run without a session that has this ULID. The id contains the ULID twice."""
    return RunId(f"run_{ulid}{ulid}")


def is_stateless(run_id: RunId) -> bool:
    """Return whether a run belongs to no session."""
    return own_ulid(run_id) == run_id[-ULID_LENGTH:]


def derive_run_id(run_id: RunId, session_id: SessionId) -> RunId:
    """Return the id of a run's copy in another session, with the same ULID of the run."""
    return RunId(f"run_{own_ulid(run_id)}{own_ulid(session_id)}")


def mint_policy_id(now: datetime) -> PolicyId:
    return PolicyId(_mint("pol", now))


def mint_tool_id(now: datetime) -> ToolId:
    return ToolId(_mint("tol", now))


def mint_audit_event_id(now: datetime) -> AuditEventId:
    return AuditEventId(_mint("evt", now))


def mint_identity_provider_id(now: datetime) -> IdentityProviderId:
    return IdentityProviderId(_mint("idp", now))


def mint_client_id(now: datetime, tenant_id: TenantId) -> ClientId:
    """Return a new client id: the client's ULID, then the tenant's ULID.

    A token request contains only the client id, so the client id must contain the tenant.
    """
    return ClientId(_mint("cli", now) + own_ulid(tenant_id))


def mint_dataset_id(now: datetime) -> DatasetId:
    return DatasetId(_mint("dts", now))


def mint_routing_rule_id(now: datetime) -> RoutingRuleId:
    return RoutingRuleId(_mint("rul", now))


def mint_prompt_id(now: datetime) -> PromptId:
    return PromptId(_mint("prm", now))


def tenant_of_client(client_id: ClientId) -> TenantId:
    """Return the tenant id that a client id contains."""
    return TenantId(f"ten_{client_id[-ULID_LENGTH:]}")


def mint_family_id(now: datetime) -> FamilyId:
    return FamilyId(_mint("fam", now))


def mint_file_content_id(now: datetime) -> FileContentId:
    return FileContentId(_mint("fil", now))


def derive_audit_event_id(at: datetime, seed: bytes) -> AuditEventId:
    """Return an audit event id that is derived from a time and a seed. Equal arguments give equal ids."""
    milliseconds = (at - _EPOCH) // _MILLISECOND
    return AuditEventId(f"evt_{encode_ulid(milliseconds.to_bytes(6) + seed[:10])}")


def session_of(run_id: RunId) -> SessionId:
    """Return the session id that a run id contains."""
    return SessionId(f"ses_{run_id[-ULID_LENGTH:]}")


def is_id(text: str, prefix: str) -> bool:
    """Return whether a text is a valid id with this prefix."""
    head, separator, tail = text.partition("_")
    if head != prefix or separator != "_":
        return False
    if prefix in TWICE:
        own, other = tail[:ULID_LENGTH], tail[ULID_LENGTH:]
        return _ULID.fullmatch(own) is not None and _ULID.fullmatch(other) is not None
    return _ULID.fullmatch(tail) is not None


def own_ulid(typed_id: str) -> str:
    """Return the first ULID of an id. Ids sort by this ULID."""
    return typed_id.partition("_")[2][:ULID_LENGTH]


def read_time(typed_id: str) -> datetime:
    """Return the creation time of an id with millisecond precision; raise `ValueError` if the id is invalid."""
    raw = decode_ulid(own_ulid(typed_id))
    try:
        return _EPOCH + int.from_bytes(raw[:6]) * _MILLISECOND
    except OverflowError as error:
        raise ValueError("the time of the id is out of range") from error
