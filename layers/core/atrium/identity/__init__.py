"""Who calls: keys, tokens, users, scopes, and the decisions that admit them."""
