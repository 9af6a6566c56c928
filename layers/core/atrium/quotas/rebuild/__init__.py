"""Compares counters with the ledger and corrects them, while calls continue.

    look      Write once to each admission item, so that its time advances by at least one second (the fence). Amounts
              counted before the write have an earlier second. Amounts counted later have this second or a later one.
              The item after this write is called the look.
    read      Read the ledger. A run's ledger entry is written before its slot is removed. A run that is neither in the
              slots of the look nor in the ledger was therefore not counted in the look.
    correct   Add the difference to each counter, on the condition that the item still has the token of the look.
              Concurrent calls may add to the same counters. A correction is never applied twice.

For each run counted before the fence, a counter must contain the reservation if the run is open, or the actual usage if
the run is settled. Only counters of the current day and month are corrected, because no limit uses the others. Usage
aggregates are rebuilt in the same pass over the ledger (`atrium.usage.rebuild`).
"""
