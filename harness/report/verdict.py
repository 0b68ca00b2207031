"""Keep a verdict on results beside them, as ``verdict.json``: what to ship, and why, in sentences.

``harness distill`` writes it, and the terminal and the HTML report show it. The file is JSON::

    {
     "schema": 1,
     "about": "tickets.csv",
     "records": "sha256:…",
     "sections": [
      {"title": "Ship mlp, taught by minilm", "lines": ["accuracy 91.0 %"], "command": "harness predict …"}
     ]
    }

``records`` is the digest of the ``records.jsonl`` that the verdict is about, so that it is not shown beside
other results. ``command`` is an empty string for a section without one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError
from harness.storage.files import contents, dumps, publish, why
from harness.wording import printable

if TYPE_CHECKING:
    from rich.console import Group

FILE = "verdict.json"
SCHEMA = 1


@dataclass(frozen=True)
class Section:
    """A part of a verdict: a title, lines of plain text, and optionally a command for the next step."""

    title: str
    lines: tuple[str, ...] = ()
    command: str = ""  # one line for a shell


@dataclass(frozen=True)
class Verdict:
    """Sections in the order in which they are read. The first one says what to ship."""

    about: (
        str  # what the results are about, e.g. the name of the distilled file; the page has it as its title
    )
    sections: tuple[Section, ...]
    stale: bool = False  # whether the records have changed since; :func:`read` finds out


def write(verdict: Verdict, folder: Path) -> None:
    """Write ``verdict.json`` into a suite's results. Raise HarnessError if it cannot be written."""
    value = {
        "schema": SCHEMA,
        "about": verdict.about,
        "records": _digest(folder),
        "sections": [asdict(section) for section in verdict.sections],
    }
    publish(folder / FILE, dumps(value, indent=1) + "\n")


def read(folder: Path) -> Verdict | None:
    """Return the verdict on a suite's results, or None if there is none.

    Raise HarnessError if the file cannot be read or is not a verdict.
    """
    path = folder / FILE
    try:
        value = json.loads(contents(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HarnessError(f"cannot read {str(path)!r}: {why(error)}") from None
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"cannot read {str(path)!r}: it is not JSON ({error})") from None
    try:
        found = _checked(value)
    except ValueError as error:
        raise HarnessError(f"cannot read {str(path)!r}: {error}") from None
    return Verdict(found["about"], tuple(found["sections"]), stale=found["records"] != _digest(folder))


def to_rich(verdict: Verdict) -> Group:
    """Return the sections for a terminal. A command is one line, however long, so that it can be copied."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    for place, section in enumerate(verdict.sections):
        parts += [Text()] if parts else []
        parts.append(Text(printable(section.title), style="bold green" if place == 0 else "bold"))
        parts += [Text(printable(line)) for line in section.lines]
        if section.command:
            parts.append(
                Text(f"  {printable(section.command)}", style="cyan", no_wrap=True, overflow="ignore")
            )
    return Group(*parts)


def _digest(folder: Path) -> str:
    """Return the digest of the records in a folder, or an empty string if it has none."""
    try:
        return f"sha256:{hashlib.sha256(contents(folder / 'records.jsonl')).hexdigest()}"
    except OSError:
        return ""


def _checked(value: Any) -> dict[str, Any]:
    """Return a verdict's fields, with sections as objects. Raise ValueError for an unexpected form."""
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    if value.get("schema") != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, got {value.get('schema')!r}; update the harness")
    for name in ("about", "records"):
        if not isinstance(value.get(name), str):
            raise ValueError(f"expected a text as '{name}', got {value.get(name)!r}")
    if not isinstance(value.get("sections"), list):
        raise ValueError(f"expected a list as 'sections', got {value.get('sections')!r}")
    return {**value, "sections": [_section(each, n) for n, each in enumerate(value["sections"], 1)]}


def _section(value: Any, number: int) -> Section:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object as section {number}, got {value!r}")
    title, lines, command = value.get("title"), value.get("lines"), value.get("command", "")
    if not isinstance(title, str) or not title:
        raise ValueError(f"expected a text as the title of section {number}, got {title!r}")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"expected a list of texts as the lines of section {number}, got {lines!r}")
    if not isinstance(command, str):
        raise ValueError(f"expected a text as the command of section {number}, got {command!r}")
    return Section(title, tuple(lines), command)
