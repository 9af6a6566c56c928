"""Errors, ids, clock, crypto, pagination: used by every module, without dependencies and I/O."""
