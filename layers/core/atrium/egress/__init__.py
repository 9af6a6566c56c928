"""Outbound HTTP on a tenant's behalf, all through `EgressClient`, which limits destination, size and time."""
