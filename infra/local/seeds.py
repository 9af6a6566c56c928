"""Fixed ids and names of the objects in a new local stack, except the tenants' first admins and keys.

The examples of the OpenAPI document use these objects, so that each example works on a new stack. An example that
deletes, ends or changes an object uses a separate object, so that examples can run in any order. The password and the
secret are public: the stack listens only on 127.0.0.1 and contains only sample data.
"""

from typing import Final


def _ulid(number: int) -> str:
    return f"01kb000000{number:016d}"


ACME: Final = f"ten_{_ulid(1)}"
GLOBEX: Final = f"ten_{_ulid(2)}"
INITECH: Final = f"ten_{_ulid(3)}"
"""The tenant that examples change, suspend and activate."""
HOOLI: Final = f"ten_{_ulid(4)}"
"""The tenant that an example deletes."""

PASSWORD: Final = "correct-horse-battery"
ADA: Final = f"usr_{_ulid(11)}"
ADA_EMAIL: Final = "ada@acme.example"
"""The email of a user who can log in with `PASSWORD`."""
LIN: Final = f"usr_{_ulid(12)}"
LIN_EMAIL: Final = "lin@acme.example"
"""The email of the user whose password an example changes."""
GRACE: Final = f"usr_{_ulid(13)}"
"""The user that examples change, log out, reset and unlock."""
BOB: Final = f"usr_{_ulid(14)}"
"""The user that an example deletes."""

KEY: Final = f"key_{_ulid(21)}"
KEY_TO_ROTATE: Final = f"key_{_ulid(22)}"
KEY_TO_REVOKE: Final = f"key_{_ulid(23)}"
KEY_TO_DELETE: Final = f"key_{_ulid(24)}"

AGENT: Final = f"agt_{_ulid(31)}"
AGENT_TO_DELETE: Final = f"agt_{_ulid(32)}"

SESSION: Final = f"ses_{_ulid(41)}"
SESSION_TO_DELETE: Final = f"ses_{_ulid(42)}"
SESSION_TO_RESTORE: Final = f"ses_{_ulid(44)}"
"""A deleted session."""
RUN: Final = f"run_{_ulid(43)}{_ulid(41)}"
"""The run of the session's only turn, which has ended."""

FILE: Final = "guides/returns.md"
FILE_TO_DELETE: Final = "guides/old.md"

CLIENT: Final = f"cli_{_ulid(51)}{_ulid(1)}"
CLIENT_SECRET: Final = "atr_cs_localStackOnlyThisIsNoRealSecret0123456"
"""The secret of `CLIENT`."""
CLIENT_TO_ROTATE: Final = f"cli_{_ulid(52)}{_ulid(1)}"
CLIENT_TO_DELETE: Final = f"cli_{_ulid(53)}{_ulid(1)}"

POLICY: Final = f"pol_{_ulid(61)}"
POLICY_TO_DELETE: Final = f"pol_{_ulid(62)}"

TOOL: Final = f"tol_{_ulid(81)}"
TOOL_TO_DELETE: Final = f"tol_{_ulid(82)}"
RULE: Final = f"rul_{_ulid(91)}"
RULE_TO_DELETE: Final = f"rul_{_ulid(92)}"
PROMPT: Final = f"prm_{_ulid(93)}"
PROMPT_TO_DELETE: Final = f"prm_{_ulid(94)}"
DATASET: Final = f"dts_{_ulid(81)}"
DATASET_TO_DELETE: Final = f"dts_{_ulid(82)}"

PROVIDER: Final = f"idp_{_ulid(71)}"
PROVIDER_TO_DELETE: Final = f"idp_{_ulid(72)}"
SLACK: Final = f"idp_{_ulid(73)}"
