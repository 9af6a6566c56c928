"""Authentication: API keys, tokens, users and scopes, and the decision whether to accept a credential."""
