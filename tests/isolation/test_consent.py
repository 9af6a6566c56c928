"""The consent page, which is public and not in the OpenAPI document.

The page shows the names of a client and its tenant, and admits only users of this tenant. It does not reveal which
users exist in other tenants.
"""

import re

from tests.builders.deployments import PASSWORD
from tests.builders.logins import open_logins
from tests.builders.oauth import Browser, make_client
from tests.isolation.asking import absent
from tests.isolation.world import World

_NONCE = re.compile(r'name="csrf" value="[^"]*"')


def test_rejects_users_of_another_tenant(world: World) -> None:
    with world.passing():
        logins = open_logins(world.deployment, "consenting")
        browser = Browser(logins, make_client(logins))
        before, said = world.state(), {}
        for email in ("admin@ours.example", "unknown@ours.example"):
            answer = browser.decide(browser.open(), email=email, password=PASSWORD)
            said[email] = (answer.status_code, _NONCE.sub("", answer.text).replace(email, "EMAIL"))
            assert "location" not in answer.headers
        assert len(set(said.values())) == 1, said
        tenants = {caller.tenant.id for caller in (*world.ours, *world.theirs)}
        touched = [name for name in before.changed(world.state()) if any(tenant in name for tenant in tenants)]
        assert not touched


def test_the_page_shows_no_data_of_users(world: World) -> None:
    with world.passing():
        logins = open_logins(world.deployment, "consenting")
        browser = Browser(logins, make_client(logins))
        shown = browser.open()
        unknown = browser.open(client_id=absent(browser.issued.client.id))
        assert (shown.status_code, unknown.status_code) == (200, 400)
        for mark in (logins.admin.id, logins.admin.email, *world.marks_of_them()):
            assert mark not in shown.text + unknown.text


def test_a_credential_of_another_tenant_changes_nothing(world: World) -> None:
    """The user must log in even if the request has a credential."""
    with world.passing():
        logins = open_logins(world.deployment, "consenting")
        browser = Browser(logins, make_client(logins))
        plain = _NONCE.sub("", browser.open().text)
        for caller in world.ours:
            browser.client.headers.update(dict(caller.headers))
            assert _NONCE.sub("", browser.open().text) == plain, caller.name
