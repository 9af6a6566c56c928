"""Erases a deleted tenant: everything below its partitions, its blobs, and what the platform keeps about it.

A deletion ends the tenant at once (`atrium.tenants`) and releases its names, issuers and logins
(`atrium.identity.offboarding`). The sweeper then erases, in two passes over the same list of erasers (`service.py`):

    first pass   a minute after the deletion: everything but sessions with an open run, which it asks to stop, and what
                 is needed to settle them (admission items with slots, blobs)
    last pass    after `QUIET_SECONDS`, when nothing that began before the deletion can write any more: everything

Invariants:

- Partitions are found by queries: of the tenant's bare partition, of its lists (sessions, runs, what was issued), of
  the ledger's months and of the days since the tenant was created. There is no Scan.
- Each step is bounded and idempotent, and the next one's place is noted after it. An erasure that is killed repeats
  at most one step. Only the ledger is not only deleted but also added up (`ledger.py`): in one transaction.
- Nothing is written for a deleted tenant that began after the deletion: credentials are refused, a turn reads the
  tenant's status with its limits, usage is counted only for ledger entries that exist.
- What stays: a tombstone (id, plan, times, by whom), so that the id is never used again, its entry in the registry
  (id, times), and the monthly totals (requests, tokens, cost) for the platform's bills.

Cost in table calls: a query and four batch deletions for a hundred items; for a run one query more for its events; for
a user one query and one batch for the login throttles; for a day of the tenant's life three queries, twice; for each
ledger entry four write units; two reads and a write for each step. Per pass also one read unit for every fifty names
of all tenants.
"""
