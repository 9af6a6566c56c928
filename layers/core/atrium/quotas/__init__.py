"""Limits of a platform's tenants: exact under any concurrency, in one conditional write for each scope.

Concepts
    A *scope* is whose limit it is: the tenant always, and a user, API key or agent that has limits of its own. Each
    scope has one *admission item*; the platform limit has several (`platform`). A turn is *admitted* or *rejected*
    against all limits of all its scopes. An admitted turn has a *slot* in each item: its place among the concurrent
    turns, a *lease* of 60 s that a heartbeat renews, and the *reservation* of tokens and money for the model call that
    may be under way. Before each further call the reservation is *extended*: what was used is counted, the next call
    is reserved. At its end the turn is *settled* to what it really used. `limits.DEFINITIONS` is the table of limits.

The admission item
    pk TENANT#<id>#ADMISSION   sk TENANT | usr_… | key_… | agt_…

    at                  the item's time: the newest second it knows. It moves on, never back (but see `item`)
    v                   how often it was written
    rn tn               requests and tokens of the last minute: the sums of
    r00 … r60  t…       the same by second, modulo 61: a second counts whole until all of it is 60 s old
    rd20261128 sd…      requests, sessions of a UTC day
    tm202611 cm202611   tokens, nano-dollars of a UTC month
    slots               run -> "admitted,call,second,tokens,cost,past tokens,past cost,new session;lease", hexadecimal
    late                slots whose lease is over: they count no more as concurrency, but keep their reservations
    sweep_pk sweep_sk   where the sweeper finds items that have slots
    fence               a rebuild that has looked and not yet corrected

    Tool calls of a minute have items of their own (`TOOL_CALLS`): kn, k00 … k60, at, v.

    Items count whether a limit bounds them or not, and limits appear only in conditions. So setting, lowering or
    lifting a limit moves nothing, and a tenant's new limit knows what was used. Who gets its first limits (a user, key
    or agent) gets an item and is counted from the ledger, by a rebuild (`changes.begin_counting`).

How a write is exact
    `decisions` decides on items as they were read; `planning` makes the update. Where the item's time stands, the
    update is *additive*: ADD under a condition on each sum and on the number of slots. Where time moves on, or expired
    leases make room, it is *rewriting*: it requires the version that was read. A write that does not apply returns the
    item, which is planned on again. Writes are idempotent by run: a repetition meets its own slot, and a settlement
    that is repeated meets none.

Invariants
    - No limit is ever passed: not by a race, a lost reply, a crash, a stalled worker or a clock that is off.
    - What is rejected is counted nowhere. Where the first read shows the rejection, nothing is written.
    - Each run is settled once, in the day and month of its admission; a reservation is never passed before that.
    - `Retry-After` is the true time at which the limit frees that frees last of all that bind.

Not guaranteed
    - A turn may be rejected that a moment later would have fitted: while another that is about to be rejected has its
      slot in the key's item already, and when the last slots of the platform race.
    - Headers show how limits stood when the turn was admitted, without what was counted in those milliseconds.
    - Runs that are open when a key gets its first limits are not counted for the key.
    - Tool calls are not counted while no limit bounds them, and a lost reply may count one twice.

Cost, in table calls and write units, with few slots taken (an item of 1 kB; at 50 slots it has 4)
    admit        1 write of 1 unit for each scope, 1 for the platform limit; the items come with the turn's own read
    extend       1 read for all scopes, 1 write for each
    renew_lease  1 write for each scope, 1 for the platform limit
    settle       1 write for each scope, 1 for the platform limit
    tool call    1 read, 1 write for each scope that limits tool calls
    session      1 transaction: the record, a mark for the rebuild, and each scope's item (2 units each)

`service.QuotaService` is what chat, jobs, tools and RPC call; `status` reads, `changes` changes limits, `responses`
tells clients, `rebuild` makes counters anew from the ledger and compares them with it.
"""
