"""Table keys of the login throttles, which are platform items. Tenant names, emails and IP addresses are hashed.

THROTTLE#LOGIN#<tenant, email>  WINDOW#<how>        failed logins for an email in one tenant
                                PAIR#<how>#<addr>   failed logins for an email in one tenant from one IP address
                                KNOWN#<address>     marker: a login from this IP address succeeded
THROTTLE#ADDRESS#<address>      LOGIN · TICKET      failed logins and failed one-time tokens from one IP address
THROTTLE#USER#<usr>             PASSWORD            attempts to change a password
THROTTLE#UNLOCKS#<ten>          <email>             number of times that a tenant unlocked an email

`how` is NAMED for logins with a tenant and ANY for logins without a tenant.
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
    """Return the partition of the throttle items of an email in one tenant."""
    return f"THROTTLE#LOGIN#{_hashed(f'{tenant}\n{email}')}"


def email_failures(tenant: str, email: str, how: LoginKind) -> Key:
    return Key(login_partition(tenant, email), f"WINDOW#{how}")


def pair_failures(tenant: str, email: str, how: LoginKind, place: str) -> Key:
    return Key(login_partition(tenant, email), f"PAIR#{how}#{_hashed(place)}")


def known_address(tenant: str, email: str, place: str) -> Key:
    """Return the key of the marker of a successful login for an email in one tenant from an IP address."""
    return Key(login_partition(tenant, email), f"{KNOWN}{_hashed(place)}")


def password_attempts(user_id: str) -> Key:
    return Key(f"THROTTLE#USER#{user_id}", "PASSWORD")


def unlocks_of(tenant_id: TenantId) -> str:
    """Return the partition of the items that count the unlocks of a tenant's emails."""
    return f"THROTTLE#UNLOCKS#{tenant_id}"


def unlocks(email: str, tenant_id: TenantId) -> Key:
    return Key(unlocks_of(tenant_id), _hashed(email))


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()
