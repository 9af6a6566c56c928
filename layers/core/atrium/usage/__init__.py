"""Usage and cost: one ledger entry per settled call, and the usage aggregates derived from the ledger."""
