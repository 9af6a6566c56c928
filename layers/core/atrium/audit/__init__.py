"""The audit of a tenant: append-only events, with secrets and personal data masked before they are stored."""
