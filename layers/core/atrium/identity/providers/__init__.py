"""A tenant's identity providers: trusted issuers, and the links from their subjects to users."""
