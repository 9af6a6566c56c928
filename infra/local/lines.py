"""Cuts what a process writes into lines as it comes."""

from collections.abc import Callable

LINE_BYTES_MAX = 256 * 1024


class LineSplitter:
    """Hands over whole lines; one that never ends is cut at LINE_BYTES_MAX, so that it cannot fill the memory."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Add bytes as they were read."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))
        if len(self._rest) > LINE_BYTES_MAX:
            self.close()

    def close(self) -> None:
        """Hand over what was left without an end."""
        rest, self._rest = self._rest, b""
        if rest:
            self._take(rest.decode("utf-8", "replace"))
