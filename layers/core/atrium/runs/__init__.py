"""Runs, the records of turns. A run is one item; the messages of a session are read from its runs."""
