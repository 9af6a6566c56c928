"""What happened in a tenant, kept as it was, without what must not be kept."""
