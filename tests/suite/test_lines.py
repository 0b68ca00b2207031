from __future__ import annotations

import random
import textwrap
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from harness.suite.lines import Where, line_of, locate


def paths(value: Any, here: Where = ()) -> Iterator[Where]:
    """Every path in a document as tomllib reads it."""
    if here:
        yield here
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*here, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*here, index))


AWKWARD = r'''
# a comment with [brackets] and "quotes
[suite]  # another = one
name = "a # [b] \" ] x"   # "
seeds = [ # ] first
  0, # 1,

  1,
  [2,
   3],
]
text = """
[[student]]
use = 1 \""" "
x\\"""""
lines = \'\'\'
[no]\'\'\' # end
apostrophes = \'\'\'a\'\'\'\'\'
empty = """"""
nothing = \'\'
a.b."c.d".'e#' = { x = 1, "y\u0041" = [{ z = 1 }, { z = '}' }], w = {} }
when = 2025-01-01 12:00:00  # a date with a space
[[student]]
use = "mlp"
[student.nested]
-w = -inf
1_2 = 0x_F
[[ student ]]
  [[student.part]]
  use="q" # ]]
  [[student.part]]
  [ student . part . "deep" ]
  k=true
[other.table]
x = []
[other]
y = [
]
'''.replace(r"\'", "'").replace("0x_F", "0xF")


def test_an_awkward_file() -> None:
    lines = locate(AWKWARD)
    assert set(lines) == set(paths(tomllib.loads(AWKWARD)))
    expected: dict[Where, int] = {
        ("suite",): 3,
        ("suite", "name"): 4,
        ("suite", "seeds"): 5,
        ("suite", "seeds", 0): 6,
        ("suite", "seeds", 1): 8,
        ("suite", "seeds", 2): 9,
        ("suite", "seeds", 2, 1): 10,
        ("suite", "text"): 12,
        ("suite", "lines"): 16,
        ("suite", "apostrophes"): 18,
        ("suite", "empty"): 19,
        ("suite", "nothing"): 20,
        ("suite", "a", "b", "c.d", "e#", "yA", 1, "z"): 21,
        ("suite", "when"): 22,
        ("student",): 23,
        ("student", 0): 23,
        ("student", 0, "use"): 24,
        ("student", 0, "nested"): 25,
        ("student", 0, "nested", "-w"): 26,
        ("student", 1): 28,
        ("student", 1, "part", 0, "use"): 30,
        ("student", 1, "part", 1): 31,
        ("student", 1, "part", 1, "deep"): 32,
        ("student", 1, "part", 1, "deep", "k"): 33,
        ("other", "table", "x"): 35,
        ("other",): 36,
        ("other", "y"): 37,
    }
    assert {where: lines[where] for where in expected} == expected
    assert locate(AWKWARD.replace("\n", "\r\n")) == lines


@pytest.mark.parametrize(
    ("source", "lines"), [("", {}), ("\n# x", {}), ("a=1", {("a",): 1}), ("\n\na=1", {("a",): 3})]
)
def test_small_files(source: str, lines: dict[Where, int]) -> None:
    assert locate(source) == lines


def test_a_path_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    lines = locate("\n[a]\nb = {c = 1}")
    assert line_of(lines, ("a", "b", "d", 3)) == 3
    assert line_of(lines, ("a", "e")) == 2
    assert line_of(lines, ("f",)) is None
    assert line_of(lines, ()) is None


class _Writer:
    """Writes a random document in which every key ends in the number of its line."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.text = ""
        self.count = 0

    def key(self) -> str:
        line = self.text.count("\n") + 1
        mark = self.choose.choice(["", '"', "'"])
        self.count += 1
        odd = self.choose.choice(["", " #", ".", "[", "= "]) if mark else ""
        return f"{mark}k{self.count}{odd}-{line}{mark}"

    def space(self) -> None:
        self.text += self.choose.choice(["", " ", "\t"])

    def gap(self) -> None:
        """Where line ends and comments may stand: inside of arrays."""
        self.text += self.choose.choice(["", "", " ", "\n", " # ]}\n", "\n\n  # '''\n"])

    def value(self, depth: int) -> None:
        kind = self.choose.randrange(9 if depth else 6)
        if kind == 6:
            self.text += "["
            for _ in range(self.choose.randrange(4)):
                self.gap()
                self.value(depth - 1)
                self.gap()
                self.text += ","
            self.gap()
            self.text += "]"
        elif kind >= 7:
            self.text += "{"
            for index in range(self.choose.randrange(3)):
                self.text += ", " if index else " "
                self.pair(depth - 1)
            self.text += " }"
        else:
            strings = [
                '"a\\"]#"',
                "'\\'",
                '"""\n[x]\n\\""""""',
                "'''\n{'\n'''",
                "-1.5e3",
                "1979-05-27 07:32:00",
            ]
            self.text += strings[kind]

    def pair(self, depth: int) -> None:
        self.text += self.key()
        if self.choose.random() < 0.2:
            self.text += f" . {self.key()}"
        self.space()
        self.text += "="
        self.space()
        self.value(depth)

    def document(self) -> str:
        headers: list[str] = []
        for _ in range(self.choose.randrange(1, 7)):
            inner = f"{self.choose.choice(headers)}." if headers and self.choose.random() < 0.4 else ""
            header = inner + self.key()
            headers.append(header)
            self.text += self.choose.choice([f"[{header}]", f"[[{header}]]"]) + " # [x]\n"
            for _ in range(self.choose.randrange(4)):
                self.pair(3)
                self.text += self.choose.choice(["\n", " # x = 1\n", "\n\n"])
        return self.text


@pytest.mark.parametrize("seed", range(200))
def test_random_files(seed: int) -> None:
    source = _Writer(seed).document()
    lines = locate(source)
    assert set(lines) == set(paths(tomllib.loads(source)))
    for where, line in lines.items():
        if isinstance(name := where[-1], str):
            assert line == int(name.rpartition("-")[2]), textwrap.indent(source, "  ")
