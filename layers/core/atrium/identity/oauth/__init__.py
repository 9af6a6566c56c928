"""The OAuth 2.1 server (I5): codes for users who agreed, tokens for clients, revocation and introspection."""
