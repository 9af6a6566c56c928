"""Keys of identity providers, sign-ins and connections; `keys.py` has the overview."""

from atrium.kernel.ids import IdentityProviderId, TenantId
from atrium.storage.keys import OAUTH_STATES, Key


def identity_provider(provider_id: IdentityProviderId) -> Key:
    return Key("", f"IDP#{provider_id}")


def provider_issuer(digest: str) -> Key:
    """Return the marker that makes issuer and audience unique within the tenant."""
    return Key("", f"IDP_ISSUER#{digest}")


def key_set(provider_id: IdentityProviderId) -> Key:
    """Return the item of an issuer's public keys, as last fetched."""
    return Key("", f"KEYSET#{provider_id}")


def external_identity(digest: str) -> Key:
    """Return the item that maps an issuer's subject to a user."""
    return Key("", f"PERSON#{digest}")


def deletion(digest: str) -> Key:
    """Return the mark that a user was deleted, by the digest of their id or email."""
    return Key("", f"DELETED#{digest}")


def issuer(digest: str) -> Key:
    """Return the platform's marker of issuer and audience, in a partition of its own, so that guesses spread."""
    return Key(f"ISSUER#{digest}", "MARKER")


def issuers_of(tenant_id: TenantId) -> str:
    """Return the platform's gsi2 partition of the markers of a tenant's issuers."""
    return f"ISSUERS_OF#{tenant_id}"


def used_state(digest: str) -> Key:
    """Return the marker of a used OAuth state."""
    return Key(OAUTH_STATES, digest)


def connection(owner: str, provider: str) -> Key:
    return Key("", f"CONNECTION#{owner}#{provider}")


def connections_of(owner: str) -> str:
    """Return the prefix of the sort keys of an owner's connections."""
    return f"CONNECTION#{owner}#"
