"""Errors, ids, clock, crypto and pagination. Every module uses this package. It has no dependencies and does no I/O."""
