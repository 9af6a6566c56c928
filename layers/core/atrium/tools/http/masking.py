"""Masks the secrets of a call in the response of a server.

A secret is found as it is, encoded for JSON or a URL, in hexadecimal, in base64 (also inside a longer encoded text),
and with white space in it. `_decode` undoes the escapes of JSON and URLs and removes white space. It keeps the position
of each character, so that only the secret is replaced. Other encodings, several of them at once, and parts of a secret
are not found.
"""

import re
from array import array
from base64 import b64encode
from collections.abc import Iterable, Iterator

MASK = "[SECRET]"
# A shorter text could be found in any response.
_FORM_CHARACTERS_MIN = 6
_ENCODED = re.compile(r"%([0-9a-fA-F]{2})|\\++u00([0-9a-fA-F]{2})|\\++[nrt]|\\++(\S?)|\s++")
_URL_ALPHABET = str.maketrans("+/", "-_")


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace the secrets in a text."""
    given = [secret for secret in secrets if secret]
    if not given:
        return text
    decoded, starts, ends = _decode(text)
    forms = {form for secret in given for form in _forms(secret) if len(form) >= _FORM_CHARACTERS_MIN}
    spans = [(at, at + len(secret)) for secret in given for at in _find(text, secret)]
    spans += [(starts[at], ends[at + len(form) - 1]) for form in forms for at in _find(decoded, form)]
    parts, done = [], 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _forms(secret: str) -> Iterator[str]:
    """Yield the texts that a secret can become in a decoded text."""
    raw = secret.encode()
    for text in (secret, secret.replace(" ", "+")):
        yield from ("".join(text.split()), _decode(text)[0])
    yield from (raw.hex(), raw.hex().upper())
    for offset, shared in enumerate((0, 2, 3)):  # `offset` bytes before the secret determine `shared` characters
        encoded = b64encode(bytes(offset) + raw)[shared : (offset + len(raw)) * 8 // 6].decode()
        yield from (encoded, encoded.translate(_URL_ALPHABET))


def _decode(text: str) -> tuple[str, "array[int]", "array[int]"]:
    """Return a text without escapes and white space, and the start and end of each of its characters in `text`."""
    parts: list[str] = []
    starts, ends, done = array("L"), array("L"), 0

    def keep(characters: str, start: int, end: int) -> None:
        parts.append(characters)
        starts.extend(range(start, end) if len(characters) == end - start else [start])
        ends.extend(range(start + 1, end + 1) if len(characters) == end - start else [end])

    for found in _ENCODED.finditer(text):
        keep(text[done : found.start()], done, found.start())
        done = found.end()
        character = chr(int(code, 16)) if (code := found[1] or found[2]) else found[3]
        if character and not character.isspace():
            keep(character, found.start(), done)
    keep(text[done:], done, len(text))
    return "".join(parts), starts, ends


def _find(text: str, form: str) -> Iterator[int]:
    at = text.find(form)
    while at >= 0:
        yield at
        at = text.find(form, at + len(form))
