"""Who may do what in a tenant, as its own policies say."""
