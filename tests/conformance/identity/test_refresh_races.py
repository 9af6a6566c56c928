"""Concurrent calls with one refresh token, on DynamoDB Local.

All calls return the same new refresh token. Reuse of an old token ends the login and is audited once.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import TokenFamilyService
from atrium.kernel.errors import TokenInvalid
from atrium.storage import keys
from atrium.storage.table import PhysicalTable

from tests.builders.deployments import Deployment
from tests.builders.logins import ORIGIN, Logins, open_logins

THREADS = 16


@pytest.fixture
def logins(dynamodb_table: PhysicalTable, deployment: Deployment) -> Logins:
    return open_logins(deployment)


def refresh(service: TokenFamilyService, text: str) -> IssuedTokens | None:
    try:
        return service.refresh(text, origin=ORIGIN)
    except TokenInvalid:
        return None


def test_calls_at_once_get_one_successor(logins: Logins) -> None:
    text = logins.begin().refresh_token
    for _ in range(10):
        with ThreadPoolExecutor(THREADS) as pool:
            given = list(pool.map(lambda _, shown=text: refresh(logins.families, shown), range(THREADS)))
        assert None not in given
        texts = {each.refresh_token for each in given if each}
        assert len(texts) == 1
        text = texts.pop()
    assert logins.audited("auth.token_reuse") == []


def test_concurrent_reuse_ends_the_login_once(logins: Logins) -> None:
    first = logins.begin()
    second = logins.families.refresh(first.refresh_token, origin=ORIGIN)
    third = logins.families.refresh(second.refresh_token, origin=ORIGIN)
    with ThreadPoolExecutor(THREADS) as pool:
        given = list(pool.map(lambda _: refresh(logins.families, first.refresh_token), range(THREADS)))
    assert given == [None] * THREADS
    assert refresh(logins.families, third.refresh_token) is None
    assert len(logins.audited("auth.token_reuse")) == 1
    item = logins.deployment.runtime.tenant_table(logins.made.tenant.id).get(keys.family(first.family.id))
    assert item is not None
    assert item["revoked_for"] == "reuse"
