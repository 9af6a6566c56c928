"""Sign-in with Google, GitHub or Slack. Connections use the same OAuth flow."""
