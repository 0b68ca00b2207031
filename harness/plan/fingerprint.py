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
def installed_code() -> str:
    """Return the digest of all files of the core and of the installed plugins, byte by byte."""
    found = []
    for package in sorted(_plugins() | {CORE}):
        if (source := _source_of(package)) is not None:
            files = sorted(source.parent.rglob("*.py")) if source.name == "__init__.py" else [source]
            found += [f"{package}/{path.relative_to(source.parent)}={_bytes(path)}" for path in files]
    return digest(*found)


def _bytes(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
    imports = _without_docstrings(tree, module if path.name == "__init__.py" else module.rpartition(".")[0])
    return hashlib.sha256(_spelled(tree).encode()).hexdigest(), tuple(imports)


def _spelled(node: Any) -> str:
    """Return a syntax tree as text that is the same for all Python versions.

    `ast.dump` shows empty fields, which not all versions have.
    """
    kind = type(node)
    if kind is list:
        return f"[{','.join([_spelled(item) for item in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    given = []
    for name in kind._fields:
        value = getattr(node, name, None)
        if (value is None or value == []) and not (kind is ast.Constant and name == "value"):
            continue
        given.append(f"{name}={_spelled(value)}")
    return f"{kind.__name__}({','.join(given)})"


def _without_docstrings(tree: ast.Module, package: str) -> list[tuple[str, str]]:
    """Remove all docstrings from a tree; return its imports, without those for type checkers alone."""
    found: list[tuple[str, str]] = []
    waiting: list[tuple[Any, bool]] = [(tree, True)]  # statements, and whether their imports count
    while waiting:
        node, counts = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += _imports(node, package) if counts else ()
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            node.body
            and isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
            and isinstance(node.body[0].value.value, str)
        ):
            node.body = node.body[1:]
        typed = isinstance(node, ast.If) and "TYPE_CHECKING" in (
            getattr(node.test, "id", ""),
            getattr(node.test, "attr", ""),
        )
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):  # only statements contain others
            inside = counts and (block == "orelse" or not typed)
            waiting += [(statement, inside) for statement in getattr(node, block, ())]
    return found


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            # `import a.b` binds a, with everything in it; `import a.b as c` binds only a.b.
            yield from ((name, "") for name in ([alias.name] if alias.asname else _parents(alias.name)))
        return
    base = node.module or ""
    if node.level:
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parents, base] if base else parents)
    yield from ((f"{base}.{alias.name}", base) for alias in node.names)


def _parents(name: str) -> Iterable[str]:
    pieces = name.split(".")
    return (".".join(pieces[: end + 1]) for end in range(len(pieces)))
