"""API keys. A key is shown once when it is created, is stored as an HMAC, and can be rotated and revoked."""
