"""Masking of secrets in the responses of servers."""

import json
import string
import time
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from atrium.tools.http.masking import MASK, mask_secrets

SECRETS = [
    'planted secret/+&"4f1c', "sk-0123456789abcdef", r"back\slash 100%", "a" * 8, "8 spaces", string.punctuation,
]  # fmt: skip

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "JSON with codes": lambda secret: "".join(f"\\u{ord(letter):04X}" for letter in secret),
    "URL": lambda secret: quote(secret, safe=""),
    "URL with safe characters": quote,
    "form": quote_plus,
    "URL in lower case": lambda secret: "".join(f"%{ord(letter):02x}" for letter in secret),
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "base64": lambda secret: b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    "hex with spaces": lambda secret: secret.encode().hex(" "),
    "line break": lambda secret: f"{secret[:5]}\r\n  {secret[5:]}",
    "line breaks": "\n".join,
    "line break in JSON": lambda secret: json.dumps("\n".join(secret))[1:-1],
    "line break in hex": lambda secret: secret.encode().hex("\n"),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", FORMS)
def test_masks_a_secret(form: str, secret: str) -> None:
    encoded = FORMS[form](secret)
    masked = mask_secrets(f"before <{encoded}> after <{encoded}>", ["another secret", secret])
    assert encoded not in masked
    assert MASK in masked
    assert masked.startswith("before <")
    if form not in {"base64", "base64 for URLs"}:
        assert masked == f"before <{MASK}> after <{MASK}>"


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz", "Authorization: Basic user:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "\r\n"])
def test_masks_a_secret_inside_a_longer_text_in_base64(before: str, after: str) -> None:
    text = encodebytes(f"{before * 30}{SECRETS[0]}{after}".encode()).decode()
    masked = mask_secrets(text, SECRETS[:1])
    assert MASK in masked
    inner = b64encode(f"{before * 30}{SECRETS[0]}".encode()).decode().replace("=", "")[-16:-4]
    assert inner not in masked.replace("\n", "")


def test_keeps_other_texts() -> None:
    text = 'a "quoted" %41 \\u0041 text \\n with\n\nlines, 100 % and a \\'
    assert mask_secrets(text, SECRETS) == text
    assert mask_secrets(text, []) == text
    assert mask_secrets("", SECRETS) == ""


def test_the_result_is_valid_json() -> None:
    content = json.dumps({"a": SECRETS[0], f"key {SECRETS[0]}": ['"' + SECRETS[0]], "b": "\\" + SECRETS[0]})
    masked = json.loads(mask_secrets(content, SECRETS))
    assert masked["a"] == MASK
    assert list(masked) == ["a", f"key {MASK}", "b"]


@pytest.mark.parametrize("secret", ["\\" * 8, "x      y"])
def test_a_secret_with_few_characters_is_masked_as_it_is(secret: str) -> None:
    assert mask_secrets(f"<{secret}> xy \\n", [secret]) == f"<{MASK}> xy \\n"


def test_overlapping_secrets_are_masked_completely() -> None:
    assert mask_secrets("<abcdefghij>", ["abcdefgh", "cdefghij"]) == f"<{MASK}>"


@pytest.mark.parametrize("unit", ["a", "\\", "%4", "%41", "\n", "\n ", "\\u0041", '\\"', "\\n"])
def test_takes_linear_time(unit: str) -> None:
    began = time.process_time()
    mask_secrets(unit * (200_000 // len(unit)), ["a" * 2_000, *SECRETS])
    assert time.process_time() - began < 20
