"""The admin function of a deployment with one tenant."""

from tests.integration.admin_keys.conftest import client, tenant_env

__all__ = ["client", "tenant_env"]
