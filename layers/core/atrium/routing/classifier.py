"""Estimates how complex a message is, and whether it is about code.

A heuristic that counts signals; it does not understand the message. A short question can be hard, and a long one easy.
The result depends only on the text, and takes linear time. Words are looked up in the first 20,000 characters. Signals
of complexity have points: fewer than 2 points are `low`, and 4 or more are `high`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from atrium.routing.model import Complexity

MEDIUM_POINTS, HIGH_POINTS = 2, 4
CODE_POINTS = 2
_EXAMINED_CHARACTERS = 20_000
_STEM_CHARACTERS_MIN = 3
_WORD = re.compile(r"[^\W_]+")
_QUESTION = re.compile(r"[?？؟]")
_STEP = re.compile(r"^[ \t]{0,8}(?:\d{1,3}[.)]|[-*•])[ \t]", re.MULTILINE)

LENGTH_POINTS = ((4_000, 3), (1_500, 2), (500, 1))
QUESTION_POINTS = ((5, 3), (3, 2), (2, 1))
STEP_POINTS = ((6, 3), (3, 2))
"""Counts of characters, questions and list entries: at least so many, and their points. The first match counts."""

COMPLEX_WORDS: Mapping[int, str] = {
    4: "prove proves theorem* beweis* démontre* demontre* demuestr* demostra* dimostra* "
    "докажи* доказ* 证明 證明 証明 증명",
    2: "proof proofs design* architect* refactor* derive* optimi* analy* diagnos* tradeoff* migrat* strateg* "
    "algorithm* architekt* entwirf entwerfe* herleit* leite abwäg* conçois concevoir conceve* dérive* diseñ* "
    "arquitect* deriva* analiz* progett* architett* проектир* спроектир* архитект* оптимиз* проанализ* рефактор* "
    "设计 設計 优化 最適化 架构 重构 分析 推导 리팩터 설계 분석",
    1: "compare* explain* evaluat* plan* summari* debug* implement* vergleich* erklär* bewerte* expliqu* compar* "
    "explic* explica* implementa* spiega* сравни* объясни* 比较 比較 解释 説明 비교 설명",
}
"""Words that are signals of complexity, by their points. `*`: any word that begins so. Each entry counts once."""

CODE_WORDS: Mapping[int, str] = {
    2: "refactor* debug* sql regex regexp javascript typescript dockerfile kubectl stacktrace traceback segfault "
    "codebase compiler unittest* pytest рефактор* 代码 代碼 コード 函数 関数 编程 程序 正则 重构 코드 함수",
    1: "code codes coding function* script* python java rust golang kotlin swift ruby php bash html css json yaml api "
    "bug bugs class classes method* variable* loop* compil* program* algorithm* repository git commit deploy* "
    "funktion* skript* programm* fonction* función funcion* código codigo funzion* codice функци* код кода скрипт* "
    "программ*",
}
"""Words that are signals of code, by their points; 2 points are needed. The same form as `COMPLEX_WORDS`."""

CODE_MARKS = re.compile(
    r"^[ \t]{0,8}(?:```|~~~)"
    r"|^[ \t]{0,16}(?:"
    r"(?:async )?(?:def|func|fn|function) ?\w{0,80}[(<]|class \w{1,80}[ (:{]|(?:const|let|var) \w{1,80} ?="
    r"|import [\w.]{1,80};?$|from [\w.]{1,80} import |#include ?[<\"]|SELECT [^\n]{1,200} FROM|CREATE TABLE "
    r"|public (?:static|class|void)|Traceback \(most recent call last\))"
    r"|=> ?\{|\);[ \t]{0,8}$|</[a-z]{1,20}>",
    re.MULTILINE,
)
"""Code fences, and lines that look like code. One is sufficient."""


@dataclass(frozen=True, slots=True)
class MessageTraits:
    """The estimated traits of a message."""

    complexity: Complexity
    needs_code: bool


class _Words:
    """Words, and beginnings of words, with points. Words of Chinese, Japanese and Korean are searched as text."""

    def __init__(self, entries: Mapping[int, str]) -> None:
        points = {entry: points for points, text in entries.items() for entry in text.split()}
        self._texts = {entry: points for entry, points in points.items() if not _is_spaced(entry)}
        spaced = {entry: points for entry, points in points.items() if _is_spaced(entry)}
        self._exact = {entry: points for entry, points in spaced.items() if not entry.endswith("*")}
        self._stems = {entry[:-1]: points for entry, points in spaced.items() if entry.endswith("*")}
        self._longest = max(map(len, self._stems))

    def count(self, text: str, words: frozenset[str]) -> int:
        """Return the points of a text in lower case with these words. Each entry counts once."""
        exact = sum(self._exact[word] for word in words if word in self._exact)
        stems = {stem for word in words if word not in self._exact for stem in self._find_stems(word)}
        return (
            exact
            + sum(map(self._stems.__getitem__, stems))
            + sum(points for entry, points in self._texts.items() if entry in text)
        )

    def _find_stems(self, word: str) -> Iterator[str]:
        """Yield the longest stem of a word."""
        for length in range(min(len(word), self._longest), _STEM_CHARACTERS_MIN - 1, -1):
            if word[:length] in self._stems:
                yield word[:length]
                return


def _is_spaced(entry: str) -> bool:
    """Return whether words of the script are separated by spaces: Latin and Cyrillic."""
    return entry[0] < "\u0530"


_COMPLEX, _CODE = _Words(COMPLEX_WORDS), _Words(CODE_WORDS)


def classify(message: str) -> MessageTraits:
    """Return the estimated traits of a message."""
    text = message[:_EXAMINED_CHARACTERS].lower()
    words = frozenset(_WORD.findall(text))
    points = _points(LENGTH_POINTS, len(message)) + _points(QUESTION_POINTS, len(_QUESTION.findall(text)))
    points += _points(STEP_POINTS, len(_STEP.findall(text))) + _COMPLEX.count(text, words)
    complexity: Complexity = "high" if points >= HIGH_POINTS else "medium" if points >= MEDIUM_POINTS else "low"
    has_marks = CODE_MARKS.search(message[:_EXAMINED_CHARACTERS]) is not None
    return MessageTraits(complexity, has_marks or _CODE.count(text, words) >= CODE_POINTS)


def _points(table: tuple[tuple[int, int], ...], count: int) -> int:
    return next((points for least, points in table if count >= least), 0)
