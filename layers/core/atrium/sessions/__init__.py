"""Sessions: conversations of one owner. The head item contains the active turn; messages are stored in runs."""
