"""Accounts at providers that tools may use on a user's behalf (I7)."""
