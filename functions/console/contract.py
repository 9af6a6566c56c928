"""`GET /v1/openapi.json`: returns the committed OpenAPI document (`make openapi`) with this deployment's address."""

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from atrium.http.dependencies import BaseUrlDep
from fastapi import APIRouter
from starlette.responses import Response

DOCUMENT = Path(__file__).parent / "openapi.json"

router = APIRouter(tags=["contract"])


@router.get("/v1/openapi.json", response_model=dict[str, Any])
async def read_contract(base_url: BaseUrlDep) -> Response:
    """Get the OpenAPI document.

    Returns this document (OpenAPI 3.1) with the address of this deployment.
    """
    return Response(
        render_document(base_url), media_type="application/json", headers={"Cache-Control": "public, max-age=300"}
    )


@lru_cache(maxsize=8)
def render_document(base_url: str) -> bytes:
    """Return the OpenAPI document as JSON, with `base_url` as the URL of the server."""
    document = {**_read_document(), "servers": [{"url": base_url or "/"}]}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


@cache
def _read_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return document
