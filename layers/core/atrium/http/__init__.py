"""The HTTP layer of all functions: application, caller context, problem documents, pages and idempotency."""
