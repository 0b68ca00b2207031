"""Check the saved states of featurisers, which come from files of other people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.featurise.words import RULES

_LARGEST = 2**31 - 1  # ids are of 32 bits


def check_numbers(state: Mapping[str, Any], **lowest: int) -> None:
    """Raise ValueError unless these fields of a saved state are whole numbers, from `lowest` up."""
    for name, least in lowest.items():
        value = state[name]
        if type(value) is not int or not least <= value <= _LARGEST:
            raise ValueError(f"expected a whole number from {least} as '{name}', got {value!r:.40}")


def limit_of(state: Mapping[str, Any], name: str) -> dict[str, int]:
    """Return the lowest value of a limit for :func:`check_numbers`; empty if the state has no such limit."""
    return {} if state.get(name) is None else {name: 1}


def rule_of(state: Mapping[str, Any]) -> int:
    """Return the rule of words of a saved state, the first one if it names none; ValueError if unknown."""
    rule = state.get("rule", RULES[0])
    if type(rule) is not int or rule not in RULES:
        raise ValueError(f"expected {' or '.join(map(str, RULES))} as 'rule', got {rule!r:.40}")
    return rule


def check_vocabulary(state: Mapping[str, Any]) -> None:
    """Raise ValueError unless the vocabulary of a saved state is a list of different words."""
    words = state["vocabulary"]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("expected a list of words as 'vocabulary'")
    if len(set(words)) < len(words):
        raise ValueError("expected different words in 'vocabulary', got one twice")
