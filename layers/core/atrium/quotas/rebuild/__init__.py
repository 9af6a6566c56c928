"""Counters made anew from the ledger, while calls go on (ADR 0072)."""
