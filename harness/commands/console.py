"""Open the console, and print text in which a terminal finds no control codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def open_console() -> Console:
    """Return rich's console for stdout, without emoji and highlighting; a file is 200 characters wide."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Let the command handle it: rich would exit with 1, which means that a cell failed."""
            raise BrokenPipeError

    console = Piped(highlight=False, soft_wrap=False, emoji=False)
    if not sys.stdout.isatty():
        console.width = 200  # a file has no width of its own
    return console


def show(laid_out: Any) -> None:
    """Print what another module has laid out: a text, or an object of rich."""
    if isinstance(laid_out, str):
        sys.stdout.write(laid_out)
    else:
        open_console().print(laid_out)


def complain(message: str) -> None:
    """Print a warning to stderr."""
    sys.stderr.write(f"{inert(message)}\n")


def inert(text: str) -> str:
    """Return a text from suites, plugins or data without the control codes of terminals."""
    from harness.report.leaderboard import printable

    return printable(text)


def as_text(value: str) -> Text:
    """Return such a text for a cell of a table."""
    from rich.text import Text

    return Text(inert(value))
