"""The output of a process is split into lines."""

from infra.local.processes import LINE_BYTES_MAX, LineSplitter


def test_lines_across_pieces() -> None:
    lines: list[str] = []
    splitter = LineSplitter(lines.append)
    for piece in (b"a", b"b\nc\r\n\xc3", b"\xbc\n", b"rest"):
        splitter.feed(piece)
    assert lines == ["ab", "c", "ü"]
    splitter.close()
    splitter.close()
    assert lines == ["ab", "c", "ü", "rest"]


def test_line_without_end_is_cut() -> None:
    lines: list[str] = []
    splitter = LineSplitter(lines.append)
    splitter.feed(b"x" * (LINE_BYTES_MAX + 1))
    assert [len(line) for line in lines] == [LINE_BYTES_MAX + 1]
