"""Login with a password, invitations, password resets and changes, and the limits on password guessing."""
