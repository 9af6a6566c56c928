"""Concurrent refreshes of a connection and concurrent sign-ins of new users, on DynamoDB Local."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from atrium.identity.providers.external_identities import ExternalIdentities, UnknownSubject
from atrium.identity.providers.mapping import Profile
from atrium.identity.providers.model import SubjectSource
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import CountExceeded, Unavailable
from atrium.kernel.ids import IdentityProviderId
from atrium.kernel.pagination import PageRequest
from atrium.storage.table import PhysicalTable
from atrium.tenants.store import TenantStore

from infra.local.oauth_provider import running
from tests.builders.deployments import Deployment
from tests.integration.social.conftest import ApiEnv, open_api_env
from tests.integration.social.test_connections import connect, service, tokens

THREADS = 8
ENTRANCE = SubjectSource("https://login.example", IdentityProviderId("idp_1"), True, "user")


@pytest.fixture
def api_env(dynamodb_table: PhysicalTable, deployment: Deployment) -> Iterator[ApiEnv]:
    with running() as provider:
        yield open_api_env(deployment, provider)


def test_concurrent_callers_use_each_refresh_token_once(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)

    def ask(_: int) -> str:
        mine = tokens(api_env)
        object.__setattr__(mine, "pause", lambda _: time.sleep(0.5))
        return mine.access_token("google")

    given: set[str] = set()
    for round_number in range(1, 6):
        api_env.clock.advance(3_600)
        with ThreadPoolExecutor(THREADS) as pool:
            received = set(pool.map(ask, range(THREADS)))
        assert len(received) == 1
        given |= received
        assert len(given) == round_number
        assert api_env.provider.asked.count("/google/token") == 1 + round_number
        assert len(api_env.provider.answers.token_store.refresh) == 1  # only the stored refresh token is valid
    assert api_env.user().get("/v1/connections/google").json()["status"] == "active"


def come(api_env: ApiEnv, subject: str, email: str) -> User | UnknownSubject | None:
    """Sign in as a new user. Return None if the tenant's limit of users is reached."""
    tenant_id = api_env.tenant.tenant.id
    table = api_env.runtime.tenant_table(tenant_id)
    tenant = TenantStore(table).get()
    assert tenant
    external_identities = ExternalIdentities(table, service(api_env).audit, api_env.clock)
    for _ in range(20):
        try:
            return external_identities.find(ENTRANCE, subject, Profile(email, "", None), tenant)
        except CountExceeded:
            return None
        except Unavailable:
            continue
    raise AssertionError("met others too often")


def test_concurrent_sign_ins_of_a_new_user_create_one_user(api_env: ApiEnv) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: come(api_env, "s1", "new@acme.example"), range(THREADS)))
    assert len({each.id for each in found if isinstance(each, User)}) == 1
    assert all(isinstance(each, User) for each in found)


def test_concurrent_new_users_never_exceed_the_limit(api_env: ApiEnv) -> None:
    api_env.tenant = api_env.deployment.onboard("small", "free")
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda at: come(api_env, f"s{at}", f"u{at}@small.example"), range(12)))
    # The plan allows five users, including the admin.
    assert len([each for each in found if isinstance(each, User)]) == 4
    kept = UserStore(api_env.runtime.tenant_table(api_env.tenant.tenant.id)).list(PageRequest(100)).items
    assert len(kept) == 5
