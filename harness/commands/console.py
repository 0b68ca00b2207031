"""Keep stdout for the command's own output, and print text in which a terminal finds no control codes."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.text import Text

_own: TextIO | None = None  # where the running command writes


class _Stdout(io.FileIO):
    """The command's output. After a failed write it takes everything and drops it."""

    patient = False  # whether a failed write is raised only when the command has done its work
    failure: OSError | None = None

    def write(self, data: Any) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = OSError(
                    error.errno, error.strerror, "stdout"
                )  # or its subclass for this errno
                if isinstance(error, BrokenPipeError) or not self.patient:
                    raise self.failure from None
        return len(data)


def open_closed_streams() -> None:
    """Open the standard streams that the caller closed, or the next file would get the number of one.

    Nothing can be read or written through them, except that stderr takes and drops messages.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # it gets the lowest free number
            if number:
                stream = io.TextIOWrapper(io.FileIO(number, "w", closefd=False), write_through=True)
                for name in ("stdout", "__stdout__") if number == 1 else ("stderr", "__stderr__"):
                    setattr(sys, name, stream)


@contextmanager
def own_stdout(*, patient: bool = False) -> Iterator[TextIO]:
    """Keep stdout for what the command writes to :func:`output`; all else that is printed goes to stderr.

    Plugins and libraries print there too, in Python or, where stdout is file descriptor 1, in C. If
    `patient`, output that cannot be written is dropped, so that a run continues; the error is raised at the
    end.
    """
    global _own
    printed = sys.stdout
    raw = None
    if printed is sys.__stdout__ and printed is not None and printed.fileno() == 1:
        printed.flush()
        raw = _Stdout(os.dup(1), "w")
        raw.patient = patient
        encoding, terminal = printed.encoding, raw.isatty()
        _own = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "replace", line_buffering=terminal)
        os.dup2(2, 1)
    else:  # a test, or a notebook
        _own = printed
    sys.stdout = sys.stderr
    try:
        yield _own
        _own.flush()
        if raw is not None and raw.failure is not None:
            raise raw.failure
    finally:
        own, _own = _own, None
        sys.stdout = printed
        if raw is not None:
            _flush_c()
            for stream in (printed, own):
                with suppress(OSError):
                    stream.flush()
            os.dup2(raw.fileno(), 1)
            own.close()


def discard_output() -> None:
    """Drop what is buffered for stdout; otherwise Python would fail again at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flush_c() -> None:
    """Write what C code has printed but not yet written."""
    import ctypes

    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)


def output() -> TextIO:
    """Return the stream of the command's own output."""
    return _own or sys.stdout


def open_console() -> Console:
    """Return rich's console for stdout, without emoji and highlighting; a file is 200 characters wide."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Let the command handle it: rich would exit with 1, which means that a cell failed."""
            raise BrokenPipeError

    console = Piped(file=output(), highlight=False, soft_wrap=False, emoji=False)
    if not output().isatty():
        console.width = 200  # a file has no width of its own
    return console


def show(laid_out: Any) -> None:
    """Print what another module has laid out: a text, or an object of rich."""
    if isinstance(laid_out, str):
        output().write(laid_out)
    else:
        open_console().print(laid_out, crop=False)  # a command that is too long would be cut off


def complain(message: str) -> None:
    """Print lines to stderr, if anything can be written there."""
    with suppress(OSError, ValueError):  # ValueError: it is closed
        sys.stderr.write("".join(f"{inert(line)}\n" for line in message.splitlines()))
        sys.stderr.flush()


def inert(text: str) -> str:
    """Return a text from suites, plugins or data without the control codes of terminals."""
    from harness.wording import printable

    return printable(text)


def as_text(value: str) -> Text:
    """Return such a text for a cell of a table."""
    from rich.text import Text

    return Text(inert(value))
