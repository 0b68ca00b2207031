"""What cells and rows are named by: ``student=mlp,cnn,loss=kl``, for ``--only``, ``compare`` and ``export``.

A name is a component's, or its label in the plan and in tables, such as ``mlp(width=8)``, where namesakes
differ; ``student.width=8`` asks for the value of one parameter. Names of one kind add up, kinds narrow down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.api import HarnessError
from harness.parameters import nearest


def pairs(expression: str, kinds: Sequence[str], told: str) -> Iterator[tuple[str, str]]:
    """The kind (or "kind.parameter") and the name of each piece of a selector.

    Raises HarnessError, with `told` for its beginning, where a piece has no kind or an unknown one.
    """
    kind = ""
    for piece in map(str.strip, _pieces(expression)):
        # "mlp(width=8)" has an equals sign too, but no kind before it.
        left, equals, right = piece.partition("=")
        if equals and "(" not in left:
            kind, piece = left.strip(), right.strip()
        plain = (kind or piece).partition(".")[0]
        if not kind or plain not in kinds:
            raise HarnessError(
                f"{told} must be <kind>=<name> or <kind>.<parameter>=<value>, with commas between; "
                f"a kind is one of: {', '.join(kinds)}{nearest(plain, kinds)}"
            )
        yield kind, piece


def _pieces(expression: str) -> list[str]:
    """Split at commas outside parentheses and brackets."""
    pieces, depth = [""], 0
    for char in expression:
        depth += (char in "([") - (char in ")]")
        if char == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += char
    return pieces
