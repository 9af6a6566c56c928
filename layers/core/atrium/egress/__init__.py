"""Outbound HTTP calls for tenants. `EgressClient` makes all of them and limits destination, size and time."""
