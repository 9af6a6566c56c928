"""A refresh token belongs to one tenant; in any other it is unknown and costs no read."""

from tests.builders.deployments import Deployment, counting
from tests.builders.logins import Logins, open_logins


def test_another_tenants_refresh_token_is_no_login_here(deployment: Deployment, logins: Logins) -> None:
    other, issued = open_logins(deployment, "other"), logins.begin()
    here, there = logins.made.tenant, other.made.tenant
    assert logins.families.login_of(issued.refresh_token, here.id) is not None
    assert logins.families.find_current(issued.refresh_token, here) is not None
    with counting(deployment.table) as calls:
        assert logins.families.login_of(issued.refresh_token, there.id) is None
        assert logins.families.find_current(issued.refresh_token, there) is None
    assert calls == []
