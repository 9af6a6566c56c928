"""API keys: made, shown once, kept as an HMAC, rotated, revoked."""
