"""Emulates the Brave Search API on 127.0.0.1: `python -m infra.local.search_server --port N`.

`GET /res/v1/web/search` searches the fixed pages in `PAGES`. Requests, responses and errors have Brave's format. All
subscription tokens are accepted.
"""

import argparse
import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PROVIDER = "brave"
PATH = "/res/v1/web/search"
QUERY_MAX, WORDS_MAX, COUNT_MAX = 400, 50, 20
# Address, title and description of each page.
PAGES = (
    ("https://docs.python.org/3/library/sqlite3.html", "sqlite3 — DB-API 2.0 interface", "SQLite databases in Python."),
    ("https://docs.python.org/3/library/asyncio.html", "asyncio — Asynchronous I/O", "Concurrent code in Python."),
    ("https://en.wikipedia.org/wiki/Tea", "Tea", "Tea is a drink made of the leaves of the tea plant."),
    ("https://en.wikipedia.org/wiki/Coffee", "Coffee", "Coffee is a drink made of roasted coffee beans."),
    ("https://en.wikipedia.org/wiki/Lisbon", "Lisbon", "Lisbon is the capital of Portugal, on the Tagus."),
    ("https://en.wikipedia.org/wiki/Oslo", "Oslo", "Oslo is the capital of Norway, on the Oslofjord."),
    ("https://www.example.com/shop/tea", "Tea shop", "Buy green tea & black tea: <strong>free</strong> delivery."),
    ("https://ads.example.org/tea", "Tea offers", "Advertisement: tea for 1 euro."),
    ("https://www.rfc-editor.org/rfc/rfc9110", "RFC 9110: HTTP Semantics", "Methods, status codes and fields of HTTP."),
    ("https://www.rfc-editor.org/rfc/rfc9457", "RFC 9457: Problem Details", "Errors of HTTP interfaces as JSON."),
)
_WORD = re.compile(r"\w+")


def find_pages(query: str, count: int) -> list[dict[str, Any]]:
    """Return the pages that contain a word of the query, those with the most words first, as Brave's results."""
    words = set(_WORD.findall(query.lower()))
    ranked = [(len(words & set(_WORD.findall(" ".join(page).lower()))), page) for page in PAGES]
    found = [page for hits, page in sorted(ranked, key=lambda each: -each[0]) if hits]
    return [
        {"type": "search_result", "url": url, "title": title, "description": text, "language": "en"}
        for url, title, text in found[:count]
    ]


def answer(path: str, token: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of the response to a request."""
    parts = urlsplit(path)
    fields = dict(parse_qsl(parts.query))
    query, count = fields.get("q", ""), fields.get("count", "20")
    if parts.path != PATH:
        return (200, {}) if parts.path == "/" else (404, _error(404, "NOT_FOUND", "The path does not exist."))
    if not token:
        return 422, _error(422, "SUBSCRIPTION_TOKEN_INVALID", "The provided subscription token is invalid.")
    fits = 1 <= len(query) <= QUERY_MAX and len(query.split()) <= WORDS_MAX
    if not fits or not count.isdecimal() or not 1 <= int(count) <= COUNT_MAX:
        return 422, _error(422, "VALIDATION", "Unable to validate request parameter(s)")
    results = find_pages(query, int(count))
    web = {"web": {"type": "search", "results": results, "family_friendly": True}} if results else {}
    return 200, {"type": "search", "query": {"original": query, "more_results_available": False}, **web}


def _error(status: int, code: str, detail: str) -> dict[str, Any]:
    return {"type": "ErrorResponse", "error": {"id": "local", "status": status, "code": code, "detail": detail}}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, content = answer(self.path, self.headers.get("x-subscription-token", ""))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log requests."""


@contextmanager
def running(port: int = 0) -> Iterator[str]:
    """Run the server on 127.0.0.1 until the context ends, and yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def main() -> None:
    """Run the server until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.search_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; 0, the default, is any free one")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with running(parser.parse_args().port) as url:
        print(f"search: {url}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
