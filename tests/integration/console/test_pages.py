"""The console's pages: valid HTML, working links, links with the stage prefix, and escaped request values."""

import json
import re
import tomllib
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser

import pytest
from atrium.http.problems import describe_problem
from atrium.http.responses import Problem
from atrium.kernel.errors import AtriumError, catalogue
from starlette.testclient import TestClient

from functions.console.app import build
from functions.console.assets import read_asset
from functions.console.errors import TEXTS
from infra.runtime.template import ROOT
from tests.builders.gateway import call_as
from tests.builders.runtimes import build_runtime

CODES = sorted({kind.code for kind in catalogue()})
PAGES = ["/", "/docs", "/docs/errors", "/docs/errors/QUOTA_EXCEEDED"]
VOID = {"meta", "link"}


class Page(HTMLParser):
    """A parser that collects the links of a page and fails on tags that are not nested correctly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.scripts: list[str | None] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append(dict(attrs).get("src"))
        self.links += [value for name, value in attrs if name in {"href", "src", "data-document"} and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_valid_and_its_links_work(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(response.text)
    assert page.open == []
    for link in page.links:
        if not link.startswith("#"):
            assert link.startswith("/dev/"), link
            assert client.get(link.removeprefix("/dev")).status_code == 200, link


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_no_script_but_its_own_files(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert None not in Page(response.text).scripts
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src 'self' 'unsafe" not in policy
    assert not re.search(r"https?://(?!example\.org)", response.text)


def test_links_go_to_the_public_address_where_there_is_one() -> None:
    client = call_as(build(build_runtime({"PUBLIC_URL": "https://api.acme.example"})), None)
    text = client.get("/").text
    assert 'href="https://api.acme.example/docs"' in text
    assert "curl https://api.acme.example/v1/chat" in text


def test_the_start_page_names_the_address_that_was_called(client: TestClient) -> None:
    assert "curl https://example.org/dev/v1/chat" in client.get("/").text


def test_a_forged_host_is_escaped(client: TestClient) -> None:
    text = client.get("/", headers={"host": 'x"><script>alert(1)</script>'}).text
    assert "<script" not in text


def test_every_code_has_a_cause_a_remedy_and_an_example() -> None:
    texts = tomllib.loads(TEXTS.read_text())
    assert sorted(texts) == CODES
    for code, parts in texts.items():
        assert set(parts) == {"cause", "remedy", "example"}, code
        assert parts["cause"].endswith(".")
        assert parts["remedy"].endswith(".")


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_page(client: TestClient, code: str) -> None:
    response = client.get(f"/docs/errors/{code}")
    assert response.status_code == 200
    assert re.findall(r"<h2>(.+?)</h2>", response.text) == ["Cause", "What to do", "Example", "Facts"]
    example = json.loads(unescape(re.findall(r'aria-label="Example"><code>(.+?)</code>', response.text, re.DOTALL)[0]))
    problem = Problem.model_validate(example)
    assert problem.code == code
    assert (problem.model_extra or {}) == {}, "an example has members that the document does not describe"
    statuses = {str(kind.status) for kind in catalogue() if kind.code == code}
    assert all(f">{' or '.join(sorted(statuses))}<" in response.text for _ in statuses)


@pytest.mark.parametrize("kind", catalogue(), ids=lambda kind: kind.__name__)
def test_the_type_of_every_problem_leads_to_its_page(client: TestClient, kind: type[AtriumError]) -> None:
    problem = describe_problem(kind(), request_id="r", public_url="/dev")
    response = client.get(problem["type"].removeprefix("/dev"))
    assert response.status_code == 200
    assert f"<h1><code>{kind.code}</code></h1>" in response.text


def test_gateway_errors_have_pages(client: TestClient) -> None:
    codes = set(re.findall(r"/docs/errors/([A-Z_]+)", (ROOT / "template.yaml").read_text()))
    assert codes
    assert [code for code in codes if client.get(f"/docs/errors/{code}").status_code != 200] == []


def test_the_catalogue_lists_every_code(client: TestClient) -> None:
    text = client.get("/docs/errors").text
    assert [code for code in CODES if f"/docs/errors/{code}" not in text] == []


def test_an_unknown_code_is_404(client: TestClient) -> None:
    response = client.get("/docs/errors/TEAPOT")
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


def test_files_are_cached_permanently(client: TestClient) -> None:
    text = client.get("/docs").text
    for name, media_type in [("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")]:
        link = next(link for link in Page(text).links if link.endswith(name)).removeprefix("/dev")
        response = client.get(link)
        assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    [
        "/docs/assets/0000000000000000/atrium.css",
        "/docs/assets/x/../app.py",
        "/docs/assets/x/%2e%2e%2fapp.py",
        "/docs/assets/x/app.py",
        "/docs/assets/",
        "/docs/else",
    ],
)
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("swagger-ui-bundle.js", "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2"),
        ("swagger-ui.css", "a6a4cf68f069eb89984d5d43644e6a812e749df08d2b1320c6e06e6973847d10"),
    ],
)
def test_swagger_ui_has_the_reviewed_checksums(name: str, digest: str) -> None:
    asset = read_asset(name)
    assert asset is not None
    assert sha256(asset.content).hexdigest() == digest


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
    ],
)
def test_the_start_page_is_json_where_that_is_preferred(client: TestClient, accept: str, media_type: str) -> None:
    response = client.get("/", headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert "Accept" in response.headers["vary"]


def test_the_links_of_the_start_page_lead_somewhere(client: TestClient) -> None:
    links = client.get("/", headers={"accept": "application/json"}).json()["links"]
    assert set(links) == {"documentation", "openapi", "errors", "health"}
    assert [link for link in links.values() if client.get(link.removeprefix("/dev")).status_code != 200] == []
