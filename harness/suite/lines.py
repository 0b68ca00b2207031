"""Find the line of each key in a TOML file, which ``tomllib`` does not report."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

Where = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r""" "(?:[^"\\\n]|\\.)*" | '[^'\n]*' | [^\s"'=.\[\]{},#]+ """, re.X)
_STRING = re.compile(
    r''' """(?:[^\\]|\\.)*?"""(?:"{0,2}) | \'\'\'.*?\'\'\'(?:'{0,2}) | "(?:[^"\\\n]|\\.)*" | '[^'\n]*' ''',
    re.X | re.S,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def locate(source: str) -> dict[Where, int]:
    """Return the lines, from 1, of all tables, keys and array items of a valid TOML document, by path."""
    scanner = _Scanner(source)
    scanner.document()
    return scanner.lines


def line_of(lines: Mapping[Where, int], where: Where) -> int | None:
    """Return the line of a path or, if the file does not contain it, of the nearest table around it."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where)


class _Scanner:
    """A scanner of a document that tomllib has accepted, so that nothing has to be checked here."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.lines: dict[Where, int] = {}
        self._breaks = [match.start() for match in re.finditer("\n", source)]
        self._last: dict[Where, int] = {}  # an array of tables → the index of its latest table

    def document(self) -> None:
        table: Where = ()
        while self._peek():
            if self._take("[["):
                line, names = self._line(), self._key()
                array = (*self._resolve(names[:-1], line), names[-1])
                self._last[array] = self._last.get(array, -1) + 1
                table = (*array, self._last[array])
                self.lines.setdefault(array, line)
                self.lines[table] = line
                self._take("]]")
            elif self._take("["):
                line = self._line()
                table = self._resolve(self._key(), line)
                self.lines[table] = line
                self._take("]")
            else:
                self._pair(table)

    def _pair(self, table: Where) -> None:
        line = self._line()
        for name in self._key():
            table = (*table, name)
            self.lines.setdefault(table, line)
        self._take("=")
        self._value(table)

    def _value(self, where: Where) -> None:
        if self._take("["):
            index = 0
            while not self._take("]"):
                self.lines[(*where, index)] = self._line()
                self._value((*where, index))
                self._take(",")
                index += 1
        elif self._take("{"):
            while not self._take("}"):
                self._pair(where)
                self._take(",")
        elif self._peek() in ('"', "'"):
            self._match(_STRING)
        else:
            self._match(_SCALAR)

    def _key(self) -> list[str]:
        """Return the parts of a key: ``a."b.c"`` has two."""
        names = []
        while True:
            self._peek()
            name = self._match(_KEY)
            names.append(tomllib.loads(f"key = {name}")["key"] if name[0] in "\"'" else name)
            if not self._take("."):
                return names

    def _resolve(self, names: list[str], line: int) -> Where:
        """Return a header's path, which leads through the latest table of each array in it."""
        where: Where = ()
        for name in names:
            where = (*where, name)
            self.lines.setdefault(where, line)
            if where in self._last:
                where = (*where, self._last[where])
        return where

    def _peek(self) -> str:
        """Skip spaces, line ends and comments; return the next character, or an empty string at the end."""
        self._match(_BLANK)
        return self.source[self.at : self.at + 1]

    def _take(self, token: str) -> bool:
        self._peek()
        if self.source.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.source, self.at)
        if match is None:
            raise ValueError(f"not valid TOML in line {self._line()}")
        self.at = match.end()
        return match.group()

    def _line(self) -> int:
        self._peek()
        return bisect_right(self._breaks, self.at - 1) + 1
