"""Counters made anew from the ledger, and compared with it, while calls go on.

    look      one write to each admission item moves its time on by at least a second: the fence. Whatever it counted
              before has an earlier second, whatever it counts later has not. The item after the write is the look.
    read      the ledger. It has a run before the run's slot is removed, so a run that is in neither the look's slots
              nor the ledger was not counted in the look.
    correct   the difference is added to each counter, on the condition of the token that the look left: what is
              counted meanwhile adds to the same counters, and no correction applies twice.

A counter is right at its fence if it has, of each run that was counted before, what is reserved while the run is open
and what it used once it is settled. Only the running day and month are corrected: others bound nothing any more.
Sums of usage are rebuilt in the same pass over the ledger (`atrium.usage.rebuild`).
"""
