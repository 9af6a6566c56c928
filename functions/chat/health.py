"""Readiness check for the Lambda Web Adapter. The console function serves the public `/v1/health`."""

from fastapi import APIRouter

router = APIRouter(include_in_schema=False)


@router.get("/v1/health")
async def check_health() -> dict[str, str]:
    """Return the status `healthy`."""
    return {"status": "healthy"}
