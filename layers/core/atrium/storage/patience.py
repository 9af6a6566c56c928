"""A client of the table for a caller that has seconds: the authorizer, whose answer is worth nothing once its own time
is over. Tries twice, and gives up within `SECONDS_MAX`; then the call is `Unavailable`, as after any failure.
"""

from atrium.storage.table import PhysicalTable

CONNECT_SECONDS = 0.4
READ_SECONDS = 0.9
ATTEMPTS = 2
# The pause between two attempts is at most a second (botocore, mode `standard`).
SECONDS_MAX = ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS) + (ATTEMPTS - 1) * 1.0


def open_impatient_table(name: str) -> PhysicalTable:
    """Return the table, reached by a client of its own."""
    from atrium.storage.clients import open_client

    client = open_client("dynamodb", attempts=ATTEMPTS, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
    return PhysicalTable(client, name)
