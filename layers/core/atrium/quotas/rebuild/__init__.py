"""Recomputes counters from the ledger, and compares them with it, while calls continue.

    look      one write to each admission item advances its time by at least a second: the fence. All that the item
              counted before has an earlier second; all that it counts later has this second or a later one. The item
              as it is after the write is called the look.
    read      the ledger. A run is in the ledger before its slot is removed, so a run that is neither in the look's
              slots nor in the ledger was not counted in the look.
    correct   the difference is added to each counter, on the condition that the item still has the token of the look.
              Concurrent calls add to the same counters, and no correction applies twice.

At its fence a counter must contain, for each run counted before, the reservation if the run is open and the real usage
if it is settled. Only the current day and month are corrected: no limit uses the others.
Sums of usage are rebuilt in the same pass over the ledger (`atrium.usage.rebuild`).
"""
