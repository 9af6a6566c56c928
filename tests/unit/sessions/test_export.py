"""An export has everything once, in parts of a bounded size, and no text can leave its place in Markdown."""

import re
from datetime import timedelta

import pytest
from atrium.kernel.pagination import Position
from atrium.llm.model import Text, Thinking, ToolResult, ToolUse
from atrium.runs.model import Message, RunError
from atrium.sessions import export
from atrium.sessions.export import read_part, write_markdown
from atrium.sessions.service import size_of
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.records import build_message, build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.sessions import build_session
from tests.builders.tenant_env import TenantEnv
from tests.unit.sessions.test_forking import PNG, fill, rich_turn

HOSTILE = "```\n# Not a heading\n`````\n> quote\n</pre><script>alert(1)</script>\n~~~~\r\n[a]: http://x\n"


def write(*messages: Message, title: str = "A title") -> str:
    session = build_session(title=title)
    run = build_run(session.id)
    run = run.ended(build_outcome(messages=messages), NOON + timedelta(seconds=1))
    return write_markdown(session, [(run, message) for message in run.messages], is_first=True)


def outside_of_fences(document: str) -> tuple[list[str], list[str]]:
    """Return the lines outside of code fences, and the contents of the fences, as CommonMark reads them."""
    lines: list[str] = []
    contents: list[list[str]] = []
    fence = ""
    for line in re.split(r"\r\n|\r|\n", document):
        if fence:
            closing = re.fullmatch(r" {0,3}(`{3,})[ \t]*", line)
            if closing and len(closing[1]) >= len(fence):
                fence = ""
            else:
                contents[-1].append(line)
        elif opening := re.fullmatch(r" {0,3}(`{3,})[^`]*", line):
            fence = opening[1]
            contents.append([])
        else:
            lines.append(line)
    assert not fence
    return lines, ["\n".join(content) for content in contents]


@given(st.text(alphabet="`~ab \n\r>#<", max_size=40))
def test_no_text_leaves_its_fence(text: str) -> None:
    _, contents = outside_of_fences(write(build_message("assistant", text)))
    assert contents[1:] == [re.sub(r"\r\n|\r", "\n", text)]


def test_hostile_texts_of_all_blocks_stay_in_their_place() -> None:
    blocks = Thinking(HOSTILE, ""), Text(HOSTILE), ToolUse("call`<b>", "tool*_[x](y)", {"a": HOSTILE})
    results = build_message("tool", ToolResult("call`<b>", HOSTILE, is_error=True))
    document = write(build_message("assistant", *blocks), results, title="# <script> `x` [a](b)")
    lines, contents = outside_of_fences(document)
    assert len(contents) == 5
    assert lines[0] == r"# \# \<script\> \`x\` \[a\](b)"
    assert r"Call of tool\*\_\[x\](y) (call\`\<b\>):" in lines
    assert not [line for line in lines if re.search(r"(?<!\\)[<\[`]", line)]


def test_markdown_has_all_blocks_and_the_usage_of_turns(tenant_env: TenantEnv) -> None:
    session_id = tenant_env.open_session()
    run = rich_turn(tenant_env, session_id)
    failed = build_run(session_id, at=NOON + timedelta(seconds=9))
    tenant_env.runs().open(failed)
    outcome = build_outcome(status="failed", stop_reason=None, error=RunError("MODEL_FAILED", "The model failed."))
    tenant_env.runs().end(failed.id, outcome, at=NOON)
    service = tenant_env.session_service()
    session = service.get(session_id)
    document = write_markdown(session, read_part(service, session, None).items, is_first=True)
    lines, contents = outside_of_fences(document)
    assert f"![Image](data:image/png;base64,{PNG})" in lines
    assert contents[:6] == ["question 2", "Hm.", "Let me see.", *['{"expression": "6*7"}'] * 2, "42"]
    assert contents[-1] == "Hi"
    assert [line for line in lines if line.startswith("## Turn ")] == [
        f"## Turn {each.id}".replace("_", r"\_") for each in (run, failed)
    ]
    assert any(line.startswith("- Usage: ") and r"cost\_usd 0.000012" in line for line in lines)
    assert r"- Error: MODEL\_FAILED: The model failed." in lines


@pytest.mark.parametrize("bytes_max", [1, 900, 3_000, 10**6])
def test_parts_have_each_message_once(tenant_env: TenantEnv, monkeypatch: pytest.MonkeyPatch, bytes_max: int) -> None:
    session_id = fill(tenant_env)
    expected = tenant_env.messages_of(session_id)
    monkeypatch.setattr("atrium.sessions.service.PAGE_BYTES_MAX", bytes_max)
    monkeypatch.setattr(export, "PAGE_BYTES_MAX", bytes_max)
    service = tenant_env.session_service()
    session, documents = service.get(session_id), ""
    found: list[Message] = []
    position: Position | None = None
    while not found or position is not None:
        part = read_part(service, session, position)
        documents += write_markdown(session, part.items, is_first=position is None)
        assert len(part.items) == 1 or sum(size_of(message) for _, message in part.items) <= bytes_max
        found += [message for _, message in part.items]
        position = part.position
    assert found == expected
    monkeypatch.undo()
    assert documents == write_markdown(session, read_part(service, session, None).items, is_first=True)
