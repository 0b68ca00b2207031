"""The structure of the code: which way imports point, how full rooms are, and what the core must not name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness import catalog

ROOT = Path(__file__).parents[1]
# The rooms of harness/, from the lowest to the highest: a room imports rooms before it alone.
LAYERS = (
    *("values", "wording", "featurise", "task_types", "api", "parameters", "hookspecs", "tracking"),
    *(
        "devices",
        "executors",
        "isolation",
        "catalog",
        "naming",
        "storage",
        "sources",
        "training",
        "runtime",
        "exports",
    ),
    *("suite", "speeds", "plan", "run", "steps", "results", "report", "trackers", "bench", "bundle"),
    *("distill", "diagnose", "commands", "cli", "__main__", "testing"),
)
MOST_AT_THE_TOP = 16
FEWEST_LINES = 40


def modules(folder: Path, base: Path) -> dict[str, Path]:
    """The modules below a folder by dotted name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The known modules that a file imports, also inside functions and for types."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in within]
        else:
            continue
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name:
                yield name


CORE = modules(ROOT / "harness", ROOT)
IMPORTS = {name: set(imported(path, CORE)) - {name} for name, path in CORE.items()}
PLUGINS = [path for path in sorted((ROOT / "plugins").iterdir()) if path.name.startswith("harness_")]


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Some modules that import each other in a circle, in order; none: there is no circle."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := visit(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_of_the_core_point_down() -> None:
    upward = [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in sorted(others)
        if room(name) and room(other) and room(name) != room(other)
        if LAYERS.index(room(other)) >= LAYERS.index(room(name))
    ]
    assert not upward, upward


def test_every_room_has_its_layer() -> None:
    assert {room(name) for name in CORE} - {""} == set(LAYERS)


def test_no_circle_in_the_core() -> None:
    whole = {name: others - {"harness"} for name, others in IMPORTS.items() if name != "harness"}
    assert not (found := circle(whole)), " imports ".join(found)


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_no_circle_in_a_plugin(folder: Path) -> None:
    own = modules(folder, ROOT / "plugins")
    graph = {name: set(imported(path, own)) - {name, folder.name} for name, path in own.items()}
    assert not (found := circle(graph)), " imports ".join(found)


def test_the_top_floor_is_not_crowded() -> None:
    assert len(list((ROOT / "harness").glob("*.py"))) <= MOST_AT_THE_TOP


def test_no_small_file_with_a_single_importer() -> None:
    small = [
        name
        for name, path in CORE.items()
        if path.name != "__init__.py" and len(path.read_text(encoding="utf-8").splitlines()) < FEWEST_LINES
    ]
    plugins = [imported(path, CORE) for folder in PLUGINS for path in folder.rglob("*.py")]
    importers = [*IMPORTS.values(), *map(set, plugins)]
    alone = [name for name in small if sum(name in others for others in importers) == 1]
    assert not alone, f"fold these into their importers: {alone}"


def test_commands_have_a_file_each() -> None:
    from harness.cli import main

    files = {path.stem for path in (ROOT / "harness" / "commands").glob("*.py")}
    assert files == {*main.commands, "__init__", "console", "options", "progress"}


# -- what the core must not name -----------------------------------------------------------------------------

# Ways in which code asked for the type of a task before types were components.
SPELLINGS = (
    r"task_type\s*(==|!=|in)\s*[('\"]",
    r"\bof_words\b",
    r"\bof_masks\b",
    r"labels is None",
    r"not \w+(\.\w+)*\.classes\b",
    r"classes\s*==",
    r"isinstance\(\w+(\.\w+)*, (\w+ \| )*(MaskedTokens|WordTokens|MaskedSubwords|WordSubwords)",
    r"(?<!['=])\bSCORE\b(?!')",
    r"dtype\s*==\s*np\.float32",
    r"\.dtype\.kind\b",
    r"is_floating_point",
    r"(prediction|one|first)\.hidden\b",
    r"LOWER_IS_BETTER",
)
OUTSIDE = [path for name, path in CORE.items() if room(name) != "task_types"]


def code_of(path: Path) -> str:
    """A file's code without comments and docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT / "harness")))
def test_the_core_does_not_branch_on_the_type_of_a_task(path: Path) -> None:
    code = code_of(path)
    types = [name for kind, name in catalog.load().entries if kind == "task type"]
    assert len(types) > 4
    named = [f"'{name}'" for name in types if re.search(rf"['\"]{re.escape(name)}['\"]", code)]
    if path.name == "compare.py":  # --fail-on regression: the English word
        named = [name for name in named if name != "'regression'"]
    constant = path.name in ("api.py", "values.py")  # which define SCORE, or pass it on
    found = [each for each in SPELLINGS if re.search(each, code) and not (constant and "SCORE" in each)]
    assert not named + found, (
        f"{path.relative_to(ROOT)} names a type of task or asks for one: {named + found}"
    )


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT / "harness")))
def test_the_core_names_no_component(path: Path) -> None:
    words = {
        "task type",
        "tracker",
        "executor",
    }  # names of components that are plain words are looked for as `use` only
    names = {
        name for kind, name in catalog.load().entries if kind not in words and ("-" in name or len(name) > 5)
    }
    found = {
        node.value
        for node in ast.walk(ast.parse(code_of(path)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    }
    assert not found - PLAIN, f"{path.relative_to(ROOT)} names {sorted(found - PLAIN)}"


# English words that are names of components too.
PLAIN = {"student", "replace", "ensemble", "unlabelled", "static", "attention", "relations"}
