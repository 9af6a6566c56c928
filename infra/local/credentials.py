"""Creates the stack's first credentials with the code that `make bootstrap` uses."""

from atrium.kernel.clock import read_clock
from atrium.storage.table import PhysicalTable

from infra.bootstrap.credentials import (
    BootstrapFailed,
    SecretArns,
    fill_secrets,
    make_first_platform_key,
    read_pepper,
)
from infra.local import StartFailed
from infra.local.model import NO_KEY, Models
from infra.local.search_server import PROVIDER
from infra.local.stack.deploy import Stack


def issue_credentials(stack: Stack, models: Models) -> str:
    """Fill the secrets of a new stack, including the keys of models and search, and return the first platform key.

    Raises StartFailed if the stack already has a platform key.
    """
    client = stack.endpoint.client("secretsmanager")
    try:
        arns = SecretArns.from_outputs(stack.outputs)
        fill_secrets(client, arns, api_keys={"model": models.api_keys, "search": {PROVIDER: NO_KEY}})
        table = PhysicalTable(stack.endpoint.client("dynamodb"), stack.outputs["TableName"])
        key = make_first_platform_key(table, read_pepper(client, arns), "dev", now=read_clock())
    except BootstrapFailed as error:
        raise StartFailed(f"bootstrap: {error}") from error
    if key is None:
        raise StartFailed("bootstrap: the emulator's table already has a platform key; it must be empty")
    return key
