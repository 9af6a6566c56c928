"""`make rebuild-counters TENANT=ten_…`: rebuild a tenant's counters from its ledger, or only compare them."""
