"""The OAuth 2.1 server: authorization codes, token endpoint, revocation and introspection."""
