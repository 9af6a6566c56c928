"""A tenant's identity providers: the trusted issuers, and the users that their subjects are linked to."""
