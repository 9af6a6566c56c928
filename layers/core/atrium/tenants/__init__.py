"""Tenants, their plans and settings, and the context that a call carries."""
