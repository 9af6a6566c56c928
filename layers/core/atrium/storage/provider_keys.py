"""Keys of identity providers, sign-ins and connections; they are drawn in `keys.py` with all the others."""

from atrium.kernel.ids import IdentityProviderId
from atrium.storage.keys import Key


def identity_provider(provider_id: IdentityProviderId) -> Key:
    return Key("", f"IDP#{provider_id}")


def provider_issuer(digest: str) -> Key:
    """Return the marker that keeps an issuer's audience to one provider of the tenant."""
    return Key("", f"IDP_ISSUER#{digest}")


def key_set(provider_id: IdentityProviderId) -> Key:
    """Return the item of an issuer's public keys, as they were last fetched."""
    return Key("", f"KEYSET#{provider_id}")


def person(digest: str) -> Key:
    """Return the item that says which user an issuer's subject is."""
    return Key("", f"PERSON#{digest}")


def deletion(digest: str) -> Key:
    """Return the mark that a user was deleted, by the digest of their id or email."""
    return Key("", f"DELETED#{digest}")


def issuer(digest: str) -> Key:
    """Return the platform's marker of an issuer's audience; each has a partition, so that guesses spread."""
    return Key(f"ISSUER#{digest}", "MARKER")


def used_state(digest: str) -> Key:
    """Return the mark that a flow's state has been used."""
    return Key("OAUTH_STATES", digest)


def connection(owner: str, provider: str) -> Key:
    return Key("", f"CONNECTION#{owner}#{provider}")


def connections_of(owner: str) -> str:
    """Return what the sort keys of an owner's connections begin with."""
    return f"CONNECTION#{owner}#"
