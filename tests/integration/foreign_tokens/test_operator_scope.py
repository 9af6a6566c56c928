"""A provider's record cannot map to the operator's role."""

from typing import Any

import pytest
from atrium.identity.providers.model import ClaimMapping
from atrium.storage import provider_keys
from atrium.storage.table import BoundTable
from atrium.storage.writes import EXISTS, Update

from tests.integration.foreign_tokens.conftest import Trusting

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("changes", [{"role_mapping": {"staff": "platform"}}, {"default_role": "platform"}])
def test_ignores_a_mapping_to_the_operators_role(trusting: Trusting, changes: dict[str, Any]) -> None:
    provider = trusting.trust(claim_mapping=ClaimMapping(role="groups"), role_mapping={"staff": "viewer"})
    assert trusting.context(groups="staff")["role"] == "viewer"
    partition = BoundTable(trusting.deployment.table, f"TENANT#{trusting.made.tenant.id}")
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in changes)
    partition.write(Update(provider_keys.identity_provider(provider.id), expression, EXISTS, changes))
    trusting.deployment.clock.advance(31)
    fields = trusting.context(groups="staff" if "role_mapping" in changes else "others")
    assert "platform" not in {*str(fields["scopes"]).split(), fields["role"]}
