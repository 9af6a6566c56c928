"""The consent page is not in the OpenAPI document, and open to anyone: it shows a client's name and its tenant's, lets
in only that tenant's users, and does not tell who is a user of another.
"""

import re

from tests.builders.deployments import PASSWORD
from tests.builders.logins import open_logins
from tests.builders.oauth import Browser, make_client
from tests.isolation.asking import absent
from tests.isolation.world import World

_NONCE = re.compile(r'name="csrf" value="[^"]*"')


def test_another_tenants_users_are_nobody_there(world: World) -> None:
    with world.passing():
        logins = open_logins(world.deployment, "consenting")
        browser = Browser(logins, make_client(logins))
        before, said = world.state(), {}
        for email in ("admin@ours.example", "nobody@ours.example"):
            answer = browser.decide(browser.open(), email=email, password=PASSWORD)
            said[email] = (answer.status_code, _NONCE.sub("", answer.text).replace(email, "EMAIL"))
            assert "location" not in answer.headers
        assert len(set(said.values())) == 1, said
        tenants = {caller.tenant.id for caller in (*world.ours, *world.theirs)}
        touched = [name for name in before.changed(world.state()) if any(tenant in name for tenant in tenants)]
        assert not touched


def test_the_page_shows_nothing_of_anybody(world: World) -> None:
    with world.passing():
        logins = open_logins(world.deployment, "consenting")
        browser = Browser(logins, make_client(logins))
        shown = browser.open()
        unknown = browser.open(client_id=absent(browser.issued.client.id))
        assert (shown.status_code, unknown.status_code) == (200, 400)
        for mark in (logins.admin.id, logins.admin.email, *world.marks_of_them()):
            assert mark not in shown.text + unknown.text


def test_a_credential_of_another_tenant_changes_nothing(world: World) -> None:
    """Whoever sends one is still asked who he is."""
    with world.passing():
        logins = open_logins(world.deployment, "consenting")
        browser = Browser(logins, make_client(logins))
        plain = _NONCE.sub("", browser.open().text)
        for caller in world.ours:
            browser.client.headers.update(dict(caller.headers))
            assert _NONCE.sub("", browser.open().text) == plain, caller.name
