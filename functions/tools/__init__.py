"""The tools function."""
