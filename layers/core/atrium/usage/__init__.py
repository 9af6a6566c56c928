"""Usage and cost: one ledger entry per settled run, and the usage aggregates derived from the ledger."""
