"""What code a result depends on, as a digest: edited helpers change it, edited comments do not.

A component's digest covers its module, the modules of its base classes, and all modules of the same
packages (its own and ``harness``) that those import, also inside functions. Imports made through
``importlib`` with a computed name are not seen.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

CORE = "harness"


def digest(*parts: str) -> str:
    """A short hex digest of strings, none of which can run into the next."""
    joined = "\x1f".join(parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:32]


@cache
def code_digest(modules: tuple[str, ...]) -> str:
    """Digest of the named modules and of what they import from their own packages and the core."""
    own = {name.partition(".")[0] for name in modules} | {CORE}
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        path = _source_of(name)
        if path is None:
            continue
        seen[name], imports = _read(path, name)
        waiting += [other for other in imports if other.partition(".")[0] in own]
    return digest(*(f"{name}={seen[name]}" for name in sorted(seen)))


def class_digest(cls: type) -> str:
    """Digest of the code behind a component class."""
    own = {cls.__module__.partition(".")[0], CORE}
    return code_digest(
        tuple(sorted({c.__module__ for c in cls.__mro__ if c.__module__.partition(".")[0] in own}))
    )


@cache
def _source_of(module: str) -> Path | None:
    """The file of a module, found without importing it or its parents."""
    top, *rest = module.split(".")
    loaded = sys.modules.get(top)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@cache
def _read(path: Path, module: str) -> tuple[str, tuple[str, ...]]:
    """The digest of one file, and the names that it may import."""
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports = tuple(_imports(tree, package))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            node.body
            and isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
            and isinstance(node.body[0].value.value, str)
        ):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield from _with_parents(alias.name)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                parents = package.split(".")[: len(package.split(".")) - child.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in child.names)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield from _imports(child, package)


def _with_parents(name: str) -> Iterable[str]:
    pieces = name.split(".")
    return (".".join(pieces[: end + 1]) for end in range(len(pieces)))
