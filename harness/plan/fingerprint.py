"""Compute a digest of the code that a result depends on. Editing code changes it; editing comments does not.

A component's digest covers its module, the modules of its base classes, and all modules that these import,
also inside functions. It follows imports in these packages: the component's own, those of the components it
derives from, those of all installed plugins, and ``harness``. A package's ``__init__`` counts if a name is
taken from it, but not if it only leads to a module: a plugin's ``__init__`` lists all its components, and a
new component must not change the keys of the others. Imports through ``importlib`` with a computed name are
not seen.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from harness.api import Component
from harness.catalog import advertising
from harness.values import digest

CORE = "harness"


@cache
def code_digest(modules: tuple[str, ...], packages: frozenset[str] | None = None) -> str:
    """Return the digest of modules and of what they import from `packages` and the core.

    `packages` are by default those of the modules.
    """
    own = ({name.partition(".")[0] for name in modules} if packages is None else packages) | {CORE}
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
        for other, package in imports:
            if other.partition(".")[0] in own:
                waiting += [other] if _source_of(other) else [package] * bool(package)
    return digest(*(f"{name}={seen[name]}" for name in sorted(seen)))


def class_digest(cls: type) -> str:
    """Return the digest of the code of a component class."""
    modules = {c.__module__ for c in cls.__mro__ if _package(c) not in sys.stdlib_module_names}
    # For a mixin from another package, only its module counts, because it may import all of torch.
    packages = {_package(c) for c in cls.__mro__ if c is cls or issubclass(c, Component)}
    return code_digest(tuple(sorted(modules)), frozenset(packages | _plugins()))


@cache
def _plugins() -> frozenset[str]:
    """Return the packages of installed plugins; a component may take its helpers from any of them."""
    found: set[str] = set()
    for distribution in advertising(CORE):
        with contextlib.suppress(Exception):  # the catalog reports the errors of plugins
            points = distribution.entry_points.select(group=CORE)
            found.update(point.module.partition(".")[0] for point in points)
            # Libraries of the distribution have no entry point of their own.
            found.update((distribution.read_text("top_level.txt") or "").split() if points else ())
    return frozenset(found)


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]


@cache
def _source_of(module: str) -> Path | None:
    """Return the file of a module, found without importing it or its parents, or None."""
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
def _read(path: Path, module: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the digest of one file, and its imports.

    An import is a pair: a name that may be a module, and the module that has the name if it is not.
    """
    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # e.g. for another version of Python: each byte counts
        return hashlib.sha256(source).hexdigest(), ()
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
    return hashlib.sha256(_spelled(tree).encode()).hexdigest(), imports


def _spelled(node: Any) -> str:
    """Return a syntax tree as text that is the same for all Python versions.

    `ast.dump` shows empty fields, which not all versions have.
    """
    if isinstance(node, list):
        return f"[{','.join(map(_spelled, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    constant = isinstance(node, ast.Constant)
    given = [
        (name, value)
        for name, value in ast.iter_fields(node)
        if not (value is None or value == []) or (constant and name == "value")
    ]
    return f"{type(node).__name__}({','.join(f'{name}={_spelled(value)}' for name, value in given)})"


def _imports(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                # `import a.b` binds a, with everything in it; `import a.b as c` binds only a.b.
                yield from ((name, "") for name in ([alias.name] if alias.asname else _parents(alias.name)))
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                parents = package.split(".")[: len(package.split(".")) - child.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield from ((f"{base}.{alias.name}", base) for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test).rpartition(".")[2] == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _imports(ast.Module([other], []), package)
        else:
            yield from _imports(child, package)


def _parents(name: str) -> Iterable[str]:
    pieces = name.split(".")
    return (".".join(pieces[: end + 1]) for end in range(len(pieces)))
