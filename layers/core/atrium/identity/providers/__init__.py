"""A tenant's own identity providers: the trusted issuers, and the users that belong to their subjects."""
