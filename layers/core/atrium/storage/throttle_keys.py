"""Where the login throttles are kept, among the platform's items. Tenant names, emails and addresses are hashed.

THROTTLE#LOGIN#<tenant, email>  WINDOW#<how>        failures at the user of an email in one tenant
                                PAIR#<how>#<addr>   the same, from one address
                                KNOWN#<address>     a login from this address succeeded
THROTTLE#ADDRESS#<address>      LOGIN · TICKET      failures of an address
THROTTLE#USER#<usr>             PASSWORD            attempts to change a password
THROTTLE#UNLOCKS#<ten>          <email>             how often a tenant has had an email unlocked

`how` is NAMED for logins that name their tenant and ANY for those that do not.
"""

from hashlib import sha256
from typing import Literal

from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key

KNOWN = "KNOWN#"

type LoginKind = Literal["NAMED", "ANY"]


def address_failures(place: str, endpoint: Literal["LOGIN", "TICKET"]) -> Key:
    return Key(f"THROTTLE#ADDRESS#{_hashed(place)}", endpoint)


def login_partition(tenant: str, email: str) -> str:
    """Return the partition of what is kept for an email in one tenant."""
    return f"THROTTLE#LOGIN#{_hashed(f'{tenant}\n{email}')}"


def email_failures(tenant: str, email: str, how: LoginKind) -> Key:
    return Key(login_partition(tenant, email), f"WINDOW#{how}")


def pair_failures(tenant: str, email: str, how: LoginKind, place: str) -> Key:
    return Key(login_partition(tenant, email), f"PAIR#{how}#{_hashed(place)}")


def known_address(tenant: str, email: str, place: str) -> Key:
    """Return the item that records a successful login to an email in one tenant from an address."""
    return Key(login_partition(tenant, email), f"{KNOWN}{_hashed(place)}")


def password_attempts(user_id: str) -> Key:
    return Key(f"THROTTLE#USER#{user_id}", "PASSWORD")


def unlocks_of(tenant_id: TenantId) -> str:
    """Return the partition of the unlocked emails of a tenant."""
    return f"THROTTLE#UNLOCKS#{tenant_id}"


def unlocks(email: str, tenant_id: TenantId) -> Key:
    return Key(unlocks_of(tenant_id), _hashed(email))


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()
