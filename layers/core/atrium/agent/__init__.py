"""Agents: their configurations, the one loop that drives a model and its tools, and the turn around it."""
