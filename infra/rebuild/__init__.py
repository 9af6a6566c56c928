"""`make rebuild-counters TENANT=ten_…`: rebuilds a tenant's counters from its ledger, or only compares them."""
