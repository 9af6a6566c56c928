"""Pages that explain the error codes. The `type` of an error response is the URL of the page for the error code."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from atrium.http.dependencies import BaseUrlDep
from atrium.http.problems import describe_problem
from atrium.kernel.errors import AtriumError, NotFound, catalogue
from fastapi import APIRouter
from starlette.responses import HTMLResponse

from functions.console.layout import definition_list, render_page

TEXTS = Path(__file__).parent / "errors.toml"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """An error code with its exception classes, cause, remedy and example members. One code can have two statuses."""

    code: str
    kinds: tuple[type[AtriumError], ...]
    cause: str
    remedy: str
    example: Mapping[str, Any]

    @property
    def statuses(self) -> str:
        return " or ".join(dict.fromkeys(str(kind.status) for kind in self.kinds))


@cache
def read_catalogue() -> dict[str, ErrorEntry]:
    """Return all error codes in the order of `catalogue()`. Raises `KeyError` if the texts of a code are missing."""
    texts = tomllib.loads(TEXTS.read_text(encoding="utf-8"))
    kinds: dict[str, list[type[AtriumError]]] = {}
    for kind in catalogue():
        kinds.setdefault(kind.code, []).append(kind)
    return {
        code: ErrorEntry(
            code,
            tuple(found),
            texts[code]["cause"],
            texts[code]["remedy"],
            texts[code]["example"],
        )
        for code, found in kinds.items()
    }


@router.get("/docs/errors")
async def show_errors(base: BaseUrlDep) -> HTMLResponse:
    """Return the page that lists all error codes."""
    rows = "".join(_row(base, entry) for entry in read_catalogue().values())
    content = f"""
<h1>Error codes</h1>
<p class="lead">Every error is <code>application/problem+json</code> with a stable <code>code</code>. Use the code in
programs, not the text. Include the <code>request_id</code> when you report an error.</p>
<div class="wide" tabindex="0" role="region" aria-label="Table of error codes"><table>
<thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Cause</th>
<th scope="col">Retry</th></tr></thead>
<tbody>{rows}</tbody>
</table></div>
"""
    return render_page(base, title="Error codes", content=content, here="/docs/errors")


@router.get("/docs/errors/{code}")
async def show_error(code: str, base: BaseUrlDep) -> HTMLResponse:
    """Return the page of one error code. Raises `NotFound` for an unknown code."""
    entry = read_catalogue().get(code)
    if entry is None:
        raise NotFound("Error code not found.")
    facts = [
        ("Status", entry.statuses),
        ("Can the same call succeed later?", _retry(entry)),
        ("Severity", " or ".join(dict.fromkeys(kind.severity for kind in entry.kinds))),
    ]
    content = f"""
<p><a href="{escape(base)}/docs/errors">All error codes</a></p>
<h1><code>{escape(code)}</code></h1>
<h2>Cause</h2>
<p class="lead">{escape(entry.cause)}</p>
<h2>What to do</h2>
<p>{escape(entry.remedy)}</p>
<h2>Example</h2>
<pre tabindex="0" aria-label="Example"><code>{escape(_render_example(entry, base))}</code></pre>
<h2>Facts</h2>
{definition_list(facts)}
"""
    return render_page(base, title=code, content=content)


def _row(base: str, entry: ErrorEntry) -> str:
    link = f'<a href="{escape(base)}/docs/errors/{escape(entry.code)}"><code>{escape(entry.code)}</code></a>'
    return (
        f'<tr><th scope="row">{link}</th><td>{escape(entry.statuses)}</td>'
        f"<td>{escape(entry.cause)}</td><td>{escape(_retry(entry))}</td></tr>"
    )


def _render_example(entry: ErrorEntry, base: str) -> str:
    """Return an example of a response with this code."""
    members = dict(entry.example)
    error = entry.kinds[-1](members.pop("detail", None), extensions=members)
    problem = describe_problem(error, request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef", public_url=base)
    return json.dumps(problem, indent=2, ensure_ascii=False)


def _retry(entry: ErrorEntry) -> str:
    answers = {kind.status: "yes" if kind.retryable else "no" for kind in entry.kinds}
    if len(set(answers.values())) == 1:
        return next(iter(answers.values()))
    return ", ".join(f"{status}: {answer}" for status, answer in answers.items())
