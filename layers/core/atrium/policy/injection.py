"""Heuristics that recognise prompt injection in messages and tool results.

A signal is the name of a rule that matched. Signals are only hints: a text with a match may be harmless, and a text
without a match may be an attack. The tenant's setting `prompt_injection` defines how a text with signals is handled:

    off      no text is examined
    flag     the text is used, and the audit records the signals (default)
    refuse   a message is rejected before it is admitted; a tool result is withheld from the model

Rules are applied to a normalised text: Unicode compatibility forms are unified, case is folded and invisible characters
are removed. Each pattern has bounded repetitions, so that the time is linear in the length of the text.
"""

import re
import unicodedata
from collections.abc import Mapping

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_FLAG_EMOJI = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{1,7}\U000e007f")
_HIDDEN = re.compile("[\u202d\u202e\U000e0020-\U000e007f]")
"""Characters that hide text from a reader: direction overrides, and tag characters outside of a flag emoji."""

_OLD = r"(?:previous|prior|above|earlier|preceding|existing|all|any|your|the|system)"
_ORDERS = r"(?:instruction|prompt|rule|guideline|direction|directive|command)s?"
_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "override_instructions": (
        rf"\b(?:ignore|disregard|forget|override|bypass) (?:\w+ ){{0,3}}?{_OLD} (?:\w+ ){{0,3}}?{_ORDERS}\b",
        r"\bignorier\w{0,3} .{0,30}?(?:anweisung|regel|vorgabe)",
        r"\bignor(?:e|ez|er|a|ar|en) .{0,30}?(?:consignes|instrucciones|reglas|instruções|istruzioni)",
        r"\bignor(?:ez|er|e) (?:toutes |tous )?(?:les|vos|tes) .{0,20}?(?:instructions|règles)",
        r"(?:忽略|无视|忘记|忽視|無視).{0,12}?(?:指令|指示|提示|规则|規則|要求|命令)",
    ),
    "system_prompt_request": (
        r"\b(?:reveal|print|show|repeat|output|display|leak|tell me) (?:\w+ ){0,4}?"
        r"(?:system prompt|(?:hidden|initial|original|secret|system) (?:instructions|prompt|message))",
        r"\b(?:repeat|print|output) (?:everything|all the text|the words) above\b",
        r"(?:显示|输出|打印|告诉我|重复).{0,12}?(?:系统提示|系统指令|提示词)",
    ),
    "role_markup": (
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id)\|>",
        r"\[/?inst\]|<</?sys>>",
        r"</?(?:system|tool_result|function_results|assistant|instructions)>",
        r"(?:^|\n) ?(?:#{1,4} ?system\b|(?:new )?system (?:prompt|message|instructions?) ?:)",
    ),
    "persona_override": (
        r"\byou are (?:now )?(?:dan\b|jailbroken|unrestricted|in (?:developer|god|debug) mode)",
        r"\b(?:enable|enter|activate|switch to) (?:developer|god|dan|jailbreak) mode\b",
        r"\bdo anything now\b",
        r"\b(?:pretend|act as if|imagine) (?:\w+ ){0,4}?(?:no|without) (?:\w+ ){0,2}?"
        r"(?:rules|restrictions|guidelines|filters|limits)\b",
    ),
    "exfiltration": (
        r"!\[[^\]\n]{0,100}\]\(https?://[^)\s]{1,300}[?&][^)\s=]{1,60}=",
        r"\b(?:send|post|upload|forward|exfiltrate|email) (?:\w+ ){0,6}?"
        r"(?:conversation|api keys?|passwords?|credentials|secrets|history|system prompt) (?:\w+ ){0,4}?to\b",
    ),
    "encoded_instructions": (
        r"\b(?:decode|decrypt|base64|rot13)\b.{0,80}?"
        r"\b(?:follow|execute|obey|carry out|run) (?:it|them|the|these|this)\b",
    ),
}
_COMPILED = {name: re.compile("|".join(patterns)) for name, patterns in _PATTERNS.items()}
SIGNALS = ("hidden_text", *_PATTERNS)


def find_signals(text: str) -> tuple[str, ...]:
    """Return the names of the rules that match, in the order of `SIGNALS`."""
    hidden = ("hidden_text",) if _HIDDEN.search(_FLAG_EMOJI.sub("", text)) else ()
    lines = _normalise(text)
    flat = re.sub(r"[\s,;]+", " ", lines)
    return (*hidden, *(name for name, pattern in _COMPILED.items() if pattern.search(flat) or pattern.search(lines)))


def _normalise(text: str) -> str:
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return re.sub(r"[^\S\n]+", " ", visible)
