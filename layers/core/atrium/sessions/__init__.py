"""Sessions: conversations of one owner. The head item knows the live turn; messages are read from runs."""
