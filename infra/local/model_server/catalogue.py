"""The models that this server plays: the ids that the installed SDK names.

Windows and output sizes are this server's own, one size for all models; release dates are unknown, so the epoch.
"""

import re
from datetime import UTC, datetime

from pydantic import JsonValue

from infra.local.model_server.errors import ApiError

INPUT_TOKENS_MAX = 1_000_000
OUTPUT_TOKENS_MAX = 128_000

MODELS = (
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-fable-5-1",
    "claude-opus-5-5",
    "claude-mythos-5-1",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-mythos-preview",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-5",
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
)


def require_model(model_id: str) -> None:
    """Raise 404 `not_found_error` for a model that is not in the catalogue."""
    if model_id not in MODELS:
        raise ApiError(404, f"model: {model_id}")


def describe(model_id: str) -> dict[str, JsonValue]:
    """The `ModelInfo` object of one model; 404 for an unknown one."""
    require_model(model_id)
    line, *version = re.sub(r"-\d{8}$", "", model_id).removeprefix("claude-").split("-")
    return {
        "type": "model",
        "id": model_id,
        "display_name": f"Claude {line.title()} {'.'.join(version).title()}",
        "created_at": datetime.fromtimestamp(0, UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "line": line,
        "max_input_tokens": INPUT_TOKENS_MAX,
        "max_tokens": OUTPUT_TOKENS_MAX,
        "capabilities": None,
        "deprecated_at": None,
        "retires_at": None,
    }


def page(*, limit: int = 20, after_id: str | None = None, before_id: str | None = None) -> dict[str, JsonValue]:
    """One page of models as `GET /v1/models` gives it; 400 for a limit outside 1–1000 or an unknown cursor."""
    if not 1 <= limit <= 1000:
        raise ApiError(400, "limit: Input should be between 1 and 1000")
    for cursor in (after_id, before_id):
        if cursor is not None and cursor not in MODELS:
            raise ApiError(400, f"cursor: no model {cursor}")
    if before_id is not None:
        rest = MODELS[: MODELS.index(before_id)]
        shown = rest[-limit:]
    else:
        rest = MODELS[MODELS.index(after_id) + 1 :] if after_id is not None else MODELS
        shown = rest[:limit]
    return {
        "data": [describe(model_id) for model_id in shown],
        "has_more": len(rest) > len(shown),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }
