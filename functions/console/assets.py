"""Static files of the HTML pages. Paths contain a digest of the content, so the files can be cached permanently."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

_HERE = Path(__file__).parent
_FILES = {
    "atrium.css": ("files/atrium.css", "text/css; charset=utf-8"),
    "mark.svg": ("files/mark.svg", "image/svg+xml"),
    "docs.js": ("files/docs.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": ("swagger_ui/swagger-ui.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("swagger_ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file with its media type and digest."""

    content: bytes
    media_type: str
    digest: str


@cache
def read_asset(name: str) -> Asset | None:
    """Return a file by its public name, or None if there is no file with this name."""
    if name not in _FILES:
        return None
    file, media_type = _FILES[name]
    content = (_HERE / file).read_bytes()
    return Asset(content, media_type, sha256(content).hexdigest()[:16])


def asset_path(name: str) -> str:
    """Return the URL path of a file. Raises `LookupError` for an unknown name."""
    asset = read_asset(name)
    if asset is None:
        raise LookupError(name)
    return f"/docs/assets/{asset.digest}/{name}"
