"""Tenants: who they are, what their plan gives them, and the context that a call carries."""
