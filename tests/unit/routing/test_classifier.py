"""The classifier of messages: examples with labels in several languages, and the time that it takes."""

import time

import pytest
from atrium.routing.classifier import classify
from atrium.routing.model import Complexity

EXAMPLES: list[tuple[str, Complexity, bool]] = [
    ("", "low", False),
    ("Hi", "low", False),
    ("What is the capital of France?", "low", False),
    ("What is the dress code of the party?", "low", False),
    ("Translate this text into English.", "low", False),
    ("Proofread this letter.", "low", False),
    ("Prove that the square root of 2 is irrational.", "high", False),
    ("Give me a proof of concept.", "medium", False),
    ("Design a scalable architecture for a chat service.", "high", False),
    ("Explain and compare the two offers.", "medium", False),
    ("Who? When? Where?", "medium", False),
    ("Do this:\n1. read\n2. write\n3. check", "medium", False),
    ("Do this:\n1. read\n2. write\n3. check\n4. send\n5. wait\n6. stop\nWhy? And when?", "high", False),
    ("word " * 350, "medium", False),
    ("Refactor this function.", "medium", True),
    ("Write a Python function that sorts a list.", "low", True),
    ("Write a SQL query for all orders.", "low", True),
    ("Look at this:\n```\nx = 1\n```", "low", True),
    ("def area(r):\n    return 3.14 * r * r", "low", True),
    ("from datetime import timedelta", "low", True),
    ("from Berlin to Paris (by train)", "low", False),
    ("Traceback (most recent call last):\n  File", "low", True),
    ("Beweise, dass die Wurzel aus 2 irrational ist.", "high", False),
    ("Wie wird das Wetter morgen?", "low", False),
    ("Schreibe eine Python-Funktion.", "low", True),
    ("Démontre que la racine de 2 est irrationnelle.", "high", False),
    ("Écris une fonction en Python.", "low", True),
    ("Demuestra que hay infinitos números primos.", "high", False),
    ("Escribe una función en Python.", "low", True),
    ("Dimostra che i numeri primi sono infiniti.", "high", False),
    ("Докажи, что корень из 2 иррационален.", "high", False),
    ("Напиши функцию на Python.", "low", True),
    ("请证明根号2是无理数。", "high", False),
    ("写一段代码。", "low", True),
    ("从北京到上海怎么走？", "low", False),
    ("この関数を説明して。", "low", True),
]


@pytest.mark.parametrize(("message", "complexity", "needs_code"), EXAMPLES)
def test_classifies_a_message(message: str, complexity: Complexity, needs_code: bool) -> None:
    traits = classify(message)
    assert (traits.complexity, traits.needs_code) == (complexity, needs_code)


@pytest.mark.parametrize(
    "unit", ["a", " ", "\n", "def ", "```", "SELECT ", "- ", "why? ", "1.", "class a", "from a.", "</", "=> ", "证"]
)
def test_takes_linear_time(unit: str) -> None:
    """A message of the maximum length takes milliseconds. A quadratic search would take minutes."""
    began = time.process_time()
    classify(unit * (100_000 // len(unit)))
    assert time.process_time() - began < 5
