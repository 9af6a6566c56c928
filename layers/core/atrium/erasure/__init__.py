"""Erases the data of a deleted tenant: its partitions, its blobs, and the platform items that refer to the tenant.

A deletion deactivates the tenant immediately (`atrium.tenants`) and releases its names, issuers and logins
(`atrium.identity.offboarding`). The sweeper then erases the data, in two passes over the same list of erasers
(`service.py`):

    first pass   Starts one minute after the deletion. Requests the cancellation of open runs. Erases everything except
                 sessions with an open run and the data needed to settle these runs (admission items, blobs).
    last pass    Starts after `QUIET_SECONDS`, when no process that started before the deletion can still write. Erases
                 all remaining data.

Invariants:

- Partitions are found by queries: the tenant's main partition, its lists (sessions, runs, issued credentials), the
  months of the ledger, and the days since the tenant was created. Scan is not used.
- Each step is bounded and idempotent. After each step, the position of the next step is stored. An interrupted erasure
  therefore repeats at most one step. Ledger entries are deleted and added to totals in one transaction (`ledger.py`).
- Calls that start after the deletion write nothing for the tenant. Its credentials are rejected, a turn reads the
  tenant's status together with its limits, and usage is counted only for ledger entries that exist.
- Three kinds of items remain. The tombstone (id, plan, times, deleted by) prevents reuse of the id. The registry entry
  has the id and times. The monthly totals (requests, tokens, cost) are needed for the platform's bills.

A hundred items cost one query and four batch deletions. In addition, an erasure costs one query per run for its events,
one query and one batch per user for the login throttles, three queries in each pass for each day since the creation of
the tenant, four write units per ledger entry, and two reads and one write per step. Each pass also costs one read unit
for every fifty names of all tenants.
"""
