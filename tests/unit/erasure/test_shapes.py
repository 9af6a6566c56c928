"""Items with every type of key are erased with their tenant, unless the type is listed as unrelated.

A new type of key fails the tests until it is listed in tests/builders/shapes.py.
"""

import inspect
from types import ModuleType

from atrium.storage import keys, platform_keys, provider_keys, throttle_keys, usage_keys
from atrium.storage.table import PlatformTable
from atrium.storage.writes import ANY, Put
from atrium.tenants.deletions import Deletions

from tests.builders.erasing import Erasing, assert_erased
from tests.builders.shapes import EMAIL, OF_A_USER, PARTS, PLATFORMS, STAYS, TENANTS, UNRELATED, USER, WHILE_IT_LASTS
from tests.builders.tenant_env import OTHER_TENANT, TENANT

MODULES = (keys, platform_keys, provider_keys, throttle_keys, usage_keys)


def shapes_of(module: ModuleType) -> set[str]:
    """Return the names of a module's public functions, which build keys."""
    short = module.__name__.rpartition(".")[2]
    functions = inspect.getmembers(module, inspect.isfunction)
    return {f"{short}.{name}" for name, made in functions if made.__module__ == module.__name__ and name[0] != "_"}


def test_every_shape_is_listed() -> None:
    listed = TENANTS.keys() | PLATFORMS.keys() | STAYS | WHILE_IT_LASTS | OF_A_USER | UNRELATED | PARTS
    listed -= {"keys.OLD_ADMISSIONS"}  # a partition of an older version, for which no function builds a key
    assert set().union(*map(shapes_of, MODULES)) == listed


def test_nothing_of_any_shape_is_left_and_another_tenant_is_untouched(shaped: Erasing) -> None:
    PlatformTable(shaped.physical).write(Put(throttle_keys.password_attempts(USER), {}, ANY))
    others = shaped.items_about(OTHER_TENANT)
    shaped.erasure.tenants.delete(TENANT)
    shaped.finish()
    totals = assert_erased(shaped, TENANT)
    assert totals["2026-11"]["cost_nanos"] == {"N": "7"}
    assert totals["2026-11"]["own_key_cost_nanos"] == {"N": "7"}
    assert shaped.items_about(OTHER_TENANT) == others
    assert Deletions(PlatformTable(shaped.physical)).find(TENANT) is None
    throttles = {place[0].removeprefix("PLATFORM#") for place in shaped.items() if "#THROTTLE#" in place[0]}
    kept = {throttle_keys.login_partition(OTHER_TENANT, EMAIL), throttle_keys.unlocks_of(OTHER_TENANT)}
    assert throttles == kept
