"""Outbound HTTP calls for tenants. `EgressClient` makes all these calls and limits their destination, size and time."""
