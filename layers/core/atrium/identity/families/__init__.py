"""Refresh-token families: what a login goes on with when its access token ends."""
