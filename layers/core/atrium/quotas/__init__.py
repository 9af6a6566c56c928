"""Limits of tenants, users, API keys and agents, exact under concurrency, with one conditional write per scope.

Concepts
    A *scope* is the owner of a limit: the tenant, and each user, API key or agent that has limits. Each scope has one
    *admission item*; the platform limit has several (`platform`). A turn is *admitted* or *rejected* against all
    limits of all its scopes. An admitted turn occupies a *slot* in each item. The slot counts as one concurrent turn.
    It has a *lease* of 60 s that a heartbeat renews, and it contains the *reservation*: the tokens and money reserved
    for the current model call. Before each further call, the reservation is *extended*: the usage so far is counted,
    and the next call is reserved. At the end of the turn, the reservation is *settled* to the actual usage.
    `limits.DEFINITIONS` is the table of limits.

The admission item
    pk TENANT#<id>#ADMISSION   sk TENANT | usr_… | key_… | agt_…

    at                  time of the item: the latest second of any write; it never decreases, except as `item` states
    v                   version: the number of writes
    rn tn               requests and tokens of the last minute: sums of the buckets below
    r00 … r60  t…       one bucket per second, modulo 61; a bucket counts in full until 60 s after the end of its second
    rd20261128 sd…      requests and sessions of a UTC day
    tm202611 cm202611   tokens and nano-dollars of a UTC month
    slots               slot name -> "admitted,call,second,tokens,cost,past tokens,past cost,new session;lease" (hex)
    late                slots whose lease expired: they are not concurrent turns, but their reservations are counted
    sweep_pk sweep_sk   keys of the sweeper's index, for items that have slots
    fence               token of a rebuild that has read the item but has not yet corrected it

    Tool calls per minute are counted in separate items (`TOOL_CALLS`), with kn, k00 … k60, at, v: one for each scope,
    and one for each tool of the tenant whose `calls_per_minute` is below the tenant's limit (`model.tool_scopes`).

    An item counts usage even if no limit applies to it. Limits are used only in write conditions. Setting, lowering or
    removing a limit therefore changes no counter, and a tenant's new limit includes earlier usage. When the first
    limits of a user, key or agent are set, an admission item is created, and a rebuild fills it from the ledger
    (`changes.begin_counting`).

How a write is exact
    `decisions` evaluates items as they were read; `planning` builds the update. If the item's time is unchanged,
    the update is *additive*: ADD with a condition on each sum and on the number of slots. If the time advances, or
    expired slots are moved to `late`, the update is *rewriting*: it also requires that the buckets it drops and the
    slots it moves are unchanged since the read. If the condition fails, the write returns the current item and a new
    update is planned from it. Writes are idempotent per run: a repeated admission finds the run's slot, and a repeated
    settlement finds no slot.

Invariants
    - No limit is exceeded because of a race, a lost reply, a crash, a stalled worker or a wrong clock.
    - A rejected turn is not counted. If the first read shows the rejection, nothing is written.
    - Each run is settled once, in the day and month of its admission. Before that, its counted usage is at most its
      reservation.
    - `Retry-After` is the time at which the last of the exceeded limits allows the request again. For concurrency it is
      an estimate (`decisions.SLOT_SECONDS`).

Not guaranteed
    - A turn may be rejected although it would be admitted a moment later. This happens while a turn that is about to be
      rejected still has a slot in the key's item, or when several turns race for the last slots of the platform.
    - Headers show the limits at the time of the admission, without concurrent changes.
    - Runs that are open when the first limits of a key are set are not counted for the key.
    - Tool calls are not counted while no limit applies to them. If a tenant's limit is raised above that of a tool, the
      tool's count begins with the next call. If a reply is lost, a tool call may be counted twice.

Cost, in table calls and write units, with few slots in use (the item has 1 kB; with 50 slots 4 kB)
    admit        1 write of 1 unit for each scope, 1 for the platform limit; the turn's context read includes the items
    extend       1 read for all scopes, 1 write for each scope
    renew/settle 1 write for each scope, 1 for the platform limit
    tool call    1 read, 1 write for each scope that limits tool calls, 1 for the tool (`model.tool_scopes`)
    session      1 transaction: the record, a mark for the rebuild, and each scope's item (2 units each)

Callers use `service.QuotaService`, `status`, `changes` and `responses`; `rebuild` corrects counters from the ledger.
"""
