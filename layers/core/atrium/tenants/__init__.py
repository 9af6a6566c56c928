"""Tenants, their plans and settings, and the tenant context of a call."""
