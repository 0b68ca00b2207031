"""Write the file tree of docs/layout.md from the modules' docstrings: python tests/layout.py."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "layout.md"
# What is no module, or what stands before and behind the tree of harness/.
BEFORE = (
    ("Makefile", "make bench, test, lint, faults, clean"),
    ("constraints.txt", "the versions that are tested"),
    ("suites/", "what to compare"),
    ("results/", "tables and records of real runs"),
    ("docs/", "a page for each subject"),
)
AFTER = (
    ("tests/", "one file a module, in folders as the modules are"),
    ("  benchmarks/", "what the harness costs, how fast it fine-tunes, how fast its models answer"),
    ("  faults/", "runs disturbed from outside: killed, on full disks, beside hostile plugins, on odd input"),
)
FILES = {
    "recipes": "templates of the suites that `harness distill` fills in",
    "static": "templates, style and script",
}


def phrase(path: Path) -> str:
    """The first sentence of a module's docstring, as a phrase."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = re.split(r"(?<=[.:;])\s|\n\n", " ".join(doc.split("\n\n")[0].split()))[0].rstrip(".:;")
    line = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line).replace("``", "`")
    return line[:1].lower() + line[1:]


def tree(folder: Path, depth: int) -> list[tuple[str, str]]:
    """A line for each module and folder below a folder: its name, indented, and its phrase."""
    lines = []
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        indent = "  " * depth
        if path.suffix == ".py" and path.name != "__init__.py":
            lines.append((f"{indent}{path.name}", phrase(path)))
        elif path.name in FILES:
            lines.append((f"{indent}{path.name}/", FILES[path.name]))
        elif (path / "__init__.py").is_file():
            lines.append((f"{indent}{path.name}/", phrase(path / "__init__.py")))
            lines += tree(path, depth + 1)
    return lines


def layout() -> str:
    """The whole tree as text."""
    core = [("harness/", "the core: knows no task, model or loss by name"), *tree(ROOT / "harness", 1)]
    plugins = [("plugins/", "first-party components, through the hooks that yours use")]
    for path in sorted((ROOT / "plugins").glob("harness_*/__init__.py")):
        plugins.append((f"  {path.parent.name}/", phrase(path)))
    lines = [*BEFORE, *core, *plugins, *AFTER]
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"{name:{width}}{told}" for name, told in lines)


def page() -> str:
    """The page with the tree of today."""
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(r"```text\n.*?\n```", lambda _: f"```text\n{layout()}\n```", text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
