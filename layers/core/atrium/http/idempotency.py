"""`Idempotency-Key` on POSTs: `APIRouter(route_class=IdempotentRoute)`, and `@answers_secret` between the route's
decorator and an endpoint whose answer shows a secret.

A stream is answered again by its run: its function calls `read_call_key` and `open_store` itself, begins before it
opens the run, completes with `SavedRun` once the run exists, and abandons when nothing was started.
"""

from atrium.http.calls import HEADER, open_store, read_call_key, read_deadline_ms, read_key_header
from atrium.http.idempotent_route import REPLAYED, IdempotentRoute, answers_secret, is_sealed
from atrium.http.saved_answers import CallKey, IdempotencyStore, Mark, Saved, SavedAnswer, SavedRun

__all__ = [
    "HEADER",
    "REPLAYED",
    "CallKey",
    "IdempotencyStore",
    "IdempotentRoute",
    "Mark",
    "Saved",
    "SavedAnswer",
    "SavedRun",
    "answers_secret",
    "is_sealed",
    "open_store",
    "read_call_key",
    "read_deadline_ms",
    "read_key_header",
]
