"""Table keys for identity providers, sign-ins and connections. `keys.py` documents all items."""

from atrium.kernel.ids import IdentityProviderId, TenantId
from atrium.storage.keys import OAUTH_STATES, Key


def identity_provider(provider_id: IdentityProviderId) -> Key:
    return Key("", f"IDP#{provider_id}")


def provider_issuer(digest: str) -> Key:
    """Return the key of the marker that makes an issuer and audience unique within the tenant."""
    return Key("", f"IDP_ISSUER#{digest}")


def key_set(provider_id: IdentityProviderId) -> Key:
    """Return the key of the item with an issuer's last fetched public keys."""
    return Key("", f"KEYSET#{provider_id}")


def external_identity(digest: str) -> Key:
    """Return the key of the item that maps an issuer's subject to a user."""
    return Key("", f"PERSON#{digest}")


def deletion(digest: str) -> Key:
    """Return the key of the marker of a deleted user. `digest` is the hash of the user's id or email address."""
    return Key("", f"DELETED#{digest}")


def issuer(digest: str) -> Key:
    """Return the platform key of the marker of an issuer and audience.

    Each marker has a separate partition, so that the load is distributed.
    """
    return Key(f"ISSUER#{digest}", "MARKER")


def issuers_of(tenant_id: TenantId) -> str:
    """Return the platform's gsi2 partition that contains the markers of a tenant's issuers."""
    return f"ISSUERS_OF#{tenant_id}"


def used_state(digest: str) -> Key:
    """Return the key of the marker of a used OAuth state."""
    return Key(OAUTH_STATES, digest)


def connection(owner: str, provider: str) -> Key:
    return Key("", f"CONNECTION#{owner}#{provider}")


def connections_of(owner: str) -> str:
    """Return the prefix of the sort keys of an owner's connections."""
    return f"CONNECTION#{owner}#"
