"""The audit of a tenant, which consists of append-only events.

Secrets and personal data are masked before an event is stored.
"""
