"""Calls from a page on another origin in a real browser: preflight, readable headers, and a streamed answer."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.e2e.browsing import open_page, serving
from tests.e2e.conftest import Stack, Tenant

pytestmark = pytest.mark.slow

_PAGE = b"<!doctype html><title>elsewhere</title><p>Another origin.</p>"
_SCRIPT = """async ([base, key, message]) => {
  const headers = {authorization: `Bearer ${key}`, 'content-type': 'application/json'}
  headers['idempotency-key'] = crypto.randomUUID()
  const list = await fetch(`${base}/v1/sessions`, {headers: {'x-api-key': key}})
  const refused = await fetch(`${base}/v1/sessions`, {headers: {'x-api-key': 'atr_dev_wrong'}})
  const began = performance.now()
  const stream = await fetch(`${base}/v1/chat/stream`, {method: 'POST', headers, body: JSON.stringify({message})})
  const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader()
  const chunks = []
  for (;;) {
    const {done, value} = await reader.read()
    if (done) break
    chunks.push([performance.now() - began, value])
  }
  return {
    list: list.status, requestId: list.headers.get('x-request-id'), refused: refused.status,
    refusal: await refused.json(), status: stream.status, chunks,
  }
}"""


@pytest.fixture
def page() -> Iterator[Page]:
    """A page in Chromium, served on another port of 127.0.0.1 than the stack."""
    with serving(_PAGE) as origin, open_page() as opened:
        opened.goto(f"{origin}/")
        yield opened


def test_another_origin_can_call_and_stream(stack: Stack, pro: Tenant, page: Page) -> None:
    seen = page.evaluate(_SCRIPT, [stack.base_url, pro.api_key, "[[slow=0.4]] [[pieces=6]] Hello, browser."])
    assert seen["list"] == 200
    assert seen["requestId"]
    assert (seen["refused"], seen["refusal"]["code"]) == (401, "UNAUTHENTICATED")
    assert seen["status"] == 200
    times = [at for at, _ in seen["chunks"]]
    assert times[-1] - times[0] >= 1500
    text = "".join(chunk for _, chunk in seen["chunks"])
    last = json.loads(text.rstrip().rsplit("data: ", 1)[1])
    assert last["content"]


def test_the_documentation_page_shows_operations(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.base_url}/docs")
    page.wait_for_selector('[data-path="/v1/chat/stream"]', timeout=15_000)
