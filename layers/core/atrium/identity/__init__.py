"""Authentication: API keys, tokens, users, scopes, and the decision whether to accept a credential."""
