"""The rules for paths, and the lines of a text."""

import unicodedata

import pytest
from atrium.files.model import PAGE_CHARACTERS_MAX, PATH_BYTES_MAX, PATH_CHARACTERS_MAX, LinePage, read_path
from atrium.storage import keys
from hypothesis import given
from hypothesis import strategies as st

PIECES = st.sampled_from(["a", "é", "e\u0301", "/", ".", "..", "\\", "#", " ", "\u202e", "\u200b", "\x00", "\n", "😀"])
TEXTS = st.text(max_size=20) | st.lists(PIECES, max_size=12).map("".join)


@given(TEXTS)
def test_a_path_is_normal_and_inside_or_rejected(text: str) -> None:
    try:
        path = read_path(text)
    except ValueError:
        return
    assert read_path(path) == path == unicodedata.normalize("NFC", path)
    assert not {"", ".", ".."} & set(path.split("/"))
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} or "\u202a" <= char <= "\u202e" for char in path)
    assert keys.file(path).sort == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("notes/todo.txt", "notes/todo.txt"),
        ("/notes/todo.txt", "notes/todo.txt"),
        ("Cafe\u0301 #1/menu list.md", "Caf\u00e9 #1/menu list.md"),
        (".hidden/..a/b..", ".hidden/..a/b.."),
        ("x" * PATH_CHARACTERS_MAX, "x" * PATH_CHARACTERS_MAX),
    ],
)
def test_reads_a_path(text: str, path: str) -> None:
    assert read_path(text) == path


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "//a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "/../a", "a\\..\\b"),
        *("a\x00b", "a\nb", "a\u202eb", "a\u2066b", "a\u200bb", " a", "a /b", "\ud800"),
        "x" * (PATH_CHARACTERS_MAX + 1),
        "\u00e9" * (PATH_BYTES_MAX // 2 + 1),
        "\U0001d15e" * PATH_CHARACTERS_MAX,  # has more characters in NFC
    ],
)
def test_rejects_a_path(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        read_path(text)


TEXT = "one\ntwo\n\nfour"


@pytest.mark.parametrize(
    ("text", "offset", "limit", "expected"),
    [
        (TEXT, 1, 10, LinePage("1\tone\n2\ttwo\n3\t\n4\tfour", 4, None)),
        (TEXT, 2, 1, LinePage("2\ttwo", 4, 3)),
        (TEXT + "\n", 4, 1, LinePage("4\tfour", 4, None)),
        (TEXT, 5, 10, LinePage("", 4, None)),
        ("", 1, 10, LinePage("", 0, None)),
        ("\n", 1, 10, LinePage("1\t", 1, None)),
        ("a\rb\u2028c", 1, 10, LinePage("1\ta\rb\u2028c", 1, None)),
    ],
)
def test_reads_numbered_lines(text: str, offset: int, limit: int, expected: LinePage) -> None:
    assert LinePage.read(text, offset, limit) == expected


def test_a_page_of_lines_is_limited_in_characters() -> None:
    page = LinePage.read("\n".join(["x" * 30_000] * 3), 1, 10)
    assert (page.text, page.next_offset) == ("1\t" + "x" * 30_000, 2)
    page = LinePage.read("x" * 100_000 + "\nlast", 1, 10)
    assert (len(page.text), page.next_offset) == (PAGE_CHARACTERS_MAX, 2)
