"""Sessions, the conversations of one owner. The session item contains the active turn; messages are stored in runs."""
