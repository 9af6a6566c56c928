"""Readiness for the web adapter, which asks the process itself; the public `/v1/health` is the console's."""

from fastapi import APIRouter

router = APIRouter(include_in_schema=False)


@router.get("/v1/health")
async def check_health() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "healthy"}
