"""The admin function of a deployment with one tenant."""

from tests.integration.admin_keys.conftest import client, house

__all__ = ["client", "house"]
