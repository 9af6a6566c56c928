"""Keys of the login throttles, in the platform's partition. Emails and addresses are hashed.

THROTTLE#EMAIL#<email>      WINDOW              failures of an email; PAIR#<address> KNOWN#<address>: of both
THROTTLE#ADDRESS#<address>  LOGIN · TICKET      failures of an address
THROTTLE#USER#<usr>         PASSWORD            attempts to change a password
THROTTLE#UNLOCKS#<ten>      <email>             how often a tenant has had an email unlocked
"""

from hashlib import sha256
from typing import Literal

from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key

WINDOW = "WINDOW"
KNOWN = "KNOWN#"


def address_failures(place: str, door: Literal["LOGIN", "TICKET"]) -> Key:
    return Key(f"THROTTLE#ADDRESS#{_hashed(place)}", door)


def email_failures(email: str) -> Key:
    return Key(_email_partition(email), WINDOW)


def pair_failures(email: str, place: str) -> Key:
    return Key(_email_partition(email), f"PAIR#{_hashed(place)}")


def known_address(email: str, place: str) -> Key:
    """Return the marker that an email's owner has logged in from an address."""
    return Key(_email_partition(email), f"{KNOWN}{_hashed(place)}")


def password_attempts(user_id: str) -> Key:
    return Key(f"THROTTLE#USER#{user_id}", "PASSWORD")


def unlocks(email: str, tenant_id: TenantId) -> Key:
    return Key(f"THROTTLE#UNLOCKS#{tenant_id}", _hashed(email))


def _email_partition(email: str) -> str:
    return f"THROTTLE#EMAIL#{_hashed(email)}"


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()
