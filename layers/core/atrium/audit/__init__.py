"""The audit of a tenant: append-only events. Secrets and personal data are masked before an event is stored."""
