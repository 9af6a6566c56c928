"""The only door for outbound HTTP on a tenant's behalf: where to, how much, how long."""
