"""Refresh-token families: the refresh tokens of one login."""
