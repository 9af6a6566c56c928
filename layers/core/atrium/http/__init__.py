"""The HTTP edge that every function shares: the application, the caller's context, problems, pages, idempotency."""
