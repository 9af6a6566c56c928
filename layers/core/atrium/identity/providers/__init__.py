"""A tenant's own identity providers (I6): which issuers it trusts, and who their subjects are here."""
