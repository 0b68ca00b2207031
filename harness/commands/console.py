"""What all that writes to the terminal shares: the console, and text that a terminal cannot obey."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def open_console() -> Console:
    """Stdout as rich writes to it: no emoji, no highlighting, 200 characters wide where it is a file."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the command: rich would exit with 1, which says that a cell failed."""
            raise BrokenPipeError

    console = Piped(highlight=False, soft_wrap=False, emoji=False)
    if not sys.stdout.isatty():
        console.width = 200  # a file has no edge to wrap at
    return console


def show(laid_out: Any) -> None:
    """What another module laid out: text as it is, or something of rich's."""
    if isinstance(laid_out, str):
        sys.stdout.write(laid_out)
    else:
        open_console().print(laid_out)


def complain(message: str) -> None:
    """Tell on stderr what went wrong beside the work itself."""
    sys.stderr.write(f"{inert(message)}\n")


def inert(text: str) -> str:
    """Text that came from suites, plugins or data, without what a terminal would obey."""
    from harness.report.leaderboard import printable

    return printable(text)


def as_text(value: str) -> Text:
    """The same for the cell of a table."""
    from rich.text import Text

    return Text(inert(value))
