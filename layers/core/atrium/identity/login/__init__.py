"""Password login, invitations, password resets and changes, and the limits on password guessing."""
