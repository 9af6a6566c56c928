"""Outbound HTTP calls for tenants. `EgressClient` makes all of them and limits their destination, size and time."""
