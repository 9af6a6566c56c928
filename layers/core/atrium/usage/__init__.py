"""What was used and what it cost: one ledger entry per settled call, and the sums that are made from them."""
