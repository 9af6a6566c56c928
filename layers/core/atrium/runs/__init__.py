"""Runs: one turn of an agent, recorded. A run is one item; a session's messages are read from its runs."""
