"""Signatures of thinking blocks: a caller that sends thinking back must send it unchanged."""

import base64
import hashlib
from collections.abc import Iterable

from infra.local.model_server.content import Block, Thinking
from infra.local.model_server.errors import ApiError


def sign(thinking: str) -> str:
    """The signature of a thinking block, the same for the same text."""
    return base64.b64encode(hashlib.sha256(b"model-server/thinking/" + thinking.encode()).digest()).decode()


def check_signatures(contents: Iterable[list[Block]]) -> None:
    """Raise 400 when a thinking block is not one that this server gave out."""
    for index, content in enumerate(contents):
        for position, block in enumerate(content):
            if isinstance(block, Thinking) and block.signature != sign(block.thinking):
                raise ApiError(400, f"messages.{index}.content.{position}: Invalid `signature` in `thinking` block")
