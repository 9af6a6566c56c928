"""The data model, continued: the keys of the operator's items, relative to the prefix of a `PlatformTable`.

partition              sort                   item, and the code that reads it
TENANTS                <ten>                  registry: list of tenants
TENANT_NAME            <name>                 marker: unique name -> tenant
ISSUER#<hash>          MARKER                 issuer and audience -> tenant and provider (authorizer)
                                              gsi2 by tenant
KEYS                   KEY#<key>              platform keys; FIRST: marker of the key that bootstrap created
CONCURRENCY#<n>        SLOTS                  one shard of the platform limit: slots of its turns
CIRCUIT#<model>        STATE                  circuit breaker of a model (chat, once in 10 s and container);
                                              `<ten>|<model>`: with the tenant's own API key
SIGNING_KEYS           <kid>                  public keys · IDEMPOTENCY <hash>
THROTTLE#<what>        <window>               login throttles (`throttle_keys`); MODULES <name>: health
DRIFT                  ROUND                  progress of the day's comparison of counters
ARCHIVE                ROUND                  the tenant at which the next archiving starts
DELETIONS              <ten>                  a started tenant deletion and its progress (sweeper, every minute)
AUDIT#<yyyy-mm-dd>     <time>#<evt>           audit of the platform: deletions of tenants
"""

from atrium.kernel.ids import KeyId, TenantId
from atrium.storage.keys import Key, _join

DELETIONS = "DELETIONS"


def platform_concurrency(item: int) -> Key:
    """Return the key of shard `item` of the platform concurrency limit."""
    return Key(f"CONCURRENCY#{item}", "SLOTS")


def circuit(name: str) -> Key:
    """Return the key of a circuit breaker. The item expires one day after its last change."""
    return Key(_join("CIRCUIT", name), "STATE")


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
    """Return the platform key of the item that stores the health of a module."""
    return Key("MODULES", name)


def drift_round() -> Key:
    """Return the platform key of the item that stores the progress of the day's comparison for all tenants."""
    return Key("DRIFT", "ROUND")


def archive_round() -> Key:
    """Return the platform key of the item that stores the tenant at which the next archiving starts."""
    return Key("ARCHIVE", "ROUND")
