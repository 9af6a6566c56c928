"""`make rebuild-counters TENANT=ten_…`: a tenant's counters made anew from its ledger, or only compared with it."""
