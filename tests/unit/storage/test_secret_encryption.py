"""A secret is bound to its tenant by the KMS encryption context and by the authenticated data."""

from collections.abc import Iterator

import pytest
from atrium.kernel.ids import TenantId
from atrium.storage.secret_encryption import DataKey, DecryptionFailed, MasterKey, SecretEncryption
from moto import mock_aws

from infra.runtime.resources import local_session

OURS = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ab")
THEIRS = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ac")


@pytest.fixture
def master() -> Iterator[MasterKey]:
    with mock_aws():
        client = local_session().client("kms")
        yield MasterKey(client, client.create_key()["KeyMetadata"]["KeyId"])


def test_decrypts_only_for_its_tenant_and_purpose(master: MasterKey) -> None:
    encrypted = SecretEncryption(master, OURS).encrypt("a purpose", "a secret")
    assert SecretEncryption(master, OURS).decrypt("a purpose", encrypted) == "a secret"
    with pytest.raises(DecryptionFailed):
        SecretEncryption(master, OURS).decrypt("another purpose", encrypted)
    with pytest.raises(DecryptionFailed):
        SecretEncryption(master, THEIRS).decrypt("a purpose", encrypted)


def test_rejects_ciphertext_of_another_tenant_under_our_data_key(master: MasterKey) -> None:
    key = SecretEncryption(master, OURS).new_data_key()
    encrypted = DataKey(key.plain, key.wrapped, THEIRS).encrypt("a purpose", "a secret")
    with pytest.raises(DecryptionFailed):
        SecretEncryption(master, OURS).decrypt("a purpose", encrypted)


@pytest.mark.parametrize("text", ["", "acme", "usr_01k6r5m2x8f3v9q4w7t1y0z5ab", "ten_x"])
def test_rejects_malformed_tenant_id(master: MasterKey, text: str) -> None:
    with pytest.raises(ValueError, match="not a tenant id"):
        SecretEncryption(master, TenantId(text))
