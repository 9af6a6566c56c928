"""Connections: accounts at OAuth providers that tools may use on behalf of a user."""
