"""Signing in at Google, GitHub or Slack, and the one mechanism behind it that connections use, too (I7)."""
