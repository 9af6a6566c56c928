"""Sign-in with Google, GitHub or Slack, and the OAuth flow that connections use, too."""
