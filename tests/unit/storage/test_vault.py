"""A tenant's secrets are bound to it twice: by the key's context, and by what is sealed with it."""

from collections.abc import Iterator

import pytest
from atrium.kernel.ids import TenantId
from atrium.storage.vault import DataKey, MasterKey, SealBroken, TenantVault
from moto import mock_aws

from infra.runtime.resources import local_session

OURS = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ab")
THEIRS = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ac")


@pytest.fixture
def master() -> Iterator[MasterKey]:
    with mock_aws():
        client = local_session().client("kms")
        yield MasterKey(client, client.create_key()["KeyMetadata"]["KeyId"])


def test_a_secret_opens_for_its_tenant_and_purpose_alone(master: MasterKey) -> None:
    sealed = TenantVault(master, OURS).seal("a purpose", "a secret")
    assert TenantVault(master, OURS).open("a purpose", sealed) == "a secret"
    with pytest.raises(SealBroken):
        TenantVault(master, OURS).open("another purpose", sealed)
    with pytest.raises(SealBroken):
        TenantVault(master, THEIRS).open("a purpose", sealed)


def test_what_was_sealed_for_another_tenant_does_not_open_though_the_key_does(master: MasterKey) -> None:
    key = TenantVault(master, OURS).begin()
    sealed = DataKey(key.plain, key.wrapped, THEIRS).seal("a purpose", "a secret")
    with pytest.raises(SealBroken):
        TenantVault(master, OURS).open("a purpose", sealed)


@pytest.mark.parametrize("text", ["", "acme", "usr_01k6r5m2x8f3v9q4w7t1y0z5ab", "ten_x"])
def test_what_is_no_tenants_id_has_no_vault(master: MasterKey, text: str) -> None:
    with pytest.raises(ValueError, match="not a tenant's id"):
        TenantVault(master, TenantId(text))
