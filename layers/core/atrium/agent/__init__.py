"""Agents: their configurations, the agent loop (model and tool calls), and the start, end and recovery of turns."""
