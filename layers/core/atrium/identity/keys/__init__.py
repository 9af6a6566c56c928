"""API keys: created, shown once, stored as an HMAC, rotated, revoked."""
