"""Connections: accounts at OAuth providers that tools may use for a user."""
