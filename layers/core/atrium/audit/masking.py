"""Masks secrets and personal data in logs, audit and error texts. Each match is replaced by a label.

    [API_KEY]      keys and tokens: atr_…, sk-…, JWTs, bearer tokens, and values of members in `SECRET_NAMES`
    [EMAIL]        email addresses
    [ID_CARD]      Chinese identity numbers with their check character, US social security numbers
    [CARD_NUMBER]  13 to 19 digits that pass the Luhn check, and any four groups of four digits
    [PHONE]        Chinese mobile numbers, international numbers with +, and North American numbers in groups

The running time is linear in the length of the text, because all quantifiers of the patterns are possessive.
"""

import re
from collections.abc import Mapping
from math import isfinite
from typing import cast

from atrium.audit.numbers import mask_numbers

type Json = str | int | float | bool | list[Json] | dict[str, Json] | None

DEPTH_MAX = 32
TOO_DEEP = "[TOO_DEEP]"
API_KEY = "[API_KEY]"
EMAIL = "[EMAIL]"

SECRET_NAMES = frozenset({
    "password", "passwd", "new_password", "secret", "client_secret", "token", "access_token", "refresh_token",
    "id_token", "api_key", "apikey", "x-api-key", "authorization", "cookie", "set-cookie", "private_key",
    "code_verifier", "assertion", "client_assertion",
})  # fmt: skip

_KEY = re.compile(
    r"atr_[A-Za-z]++_[A-Za-z0-9]{8,}+"
    r"|(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{8,}+"
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{4,}+\.[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]*+){0,3}+"
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{16,}+"
    r"|(?<![A-Za-z0-9])xox[a-z]-[A-Za-z0-9-]{8,}+"
)
_BEARER = re.compile(r"(?i:\b(bearer|basic)) [A-Za-z0-9._~+/=-]{8,}+")
_MAIL = re.compile(r"[\w.%+'-]++(?:@[\w-]++(?:\.[\w-]++)++)?+")


def mask_text(text: str) -> str:
    """Return the text with secrets and personal data replaced by labels. Idempotent.

    Unpaired surrogates, which UTF-8 cannot encode, become question marks.
    """
    text = text.encode("utf-8", "replace").decode()
    text = _KEY.sub(API_KEY, text)
    text = _BEARER.sub(lambda found: f"{found[1]} {API_KEY}", text)
    if "@" in text:
        text = _MAIL.sub(lambda found: EMAIL if "@" in found[0] else found[0], text)
    return mask_numbers(text)


def mask(value: object, *, depth: int = DEPTH_MAX) -> Json:
    """Mask every text, member name and integer in a JSON value, and return the result.

    A text whose member name is in `SECRET_NAMES` is replaced completely. Values that are nested deeper than `depth`
    levels become `[TOO_DEEP]`. Values that are not JSON are converted to text and masked.
    """
    if value is None or isinstance(value, bool) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, int):
        masked = mask_numbers(str(value))
        return value if masked == str(value) else masked
    if depth <= 0:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {mask_text(str(name)): _mask_under(str(name), inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(inner, depth=depth - 1) for inner in cast("list[object]", value)]
    return mask_text(str(value))


def _mask_under(name: str, value: object, depth: int) -> Json:
    if name.lower() in SECRET_NAMES and isinstance(value, str):
        return API_KEY
    return mask(value, depth=depth)
