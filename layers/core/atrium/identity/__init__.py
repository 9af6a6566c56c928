"""Who calls: keys, tokens, users, and the doors that verify them."""
