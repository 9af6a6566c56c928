"""Usage and cost: one ledger entry per settled call, and the sums derived from the ledger."""
