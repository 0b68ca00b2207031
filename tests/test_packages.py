"""What pip installs: the packages that the code imports, and all files that it reads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDERS = ("harness", "plugins")
OWN = {"harness", *(path.name for path in (ROOT / "plugins").iterdir())}
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
# Imported only if a package that we declare has brought it.
# sqlalchemy: by mlflow, which mlflow-skinny can be replaced with; six: by dateutil before 3, of pandas
BROUGHT = {"six", "sqlalchemy"}
CALLS = re.compile(r"(importlib\.)?(import_module|resources\.files|util\.find_spec|find_spec)|files")


BRINGS = packages_distributions()  # top-level name → distributions


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(lines: list[str]) -> set[str]:
    """The names of some requirements."""
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index]


def imported(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """The top-level names that a module imports or takes files of, and whether at its own import."""

    def visit(node: ast.AST, at_once: bool) -> Iterator[tuple[str, bool]]:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        elif isinstance(node, ast.Call) and CALLS.fullmatch(ast.unparse(node.func)) and node.args:
            value = node.args[0]
            names = [value.value] if isinstance(value, ast.Constant) else []
        yield from ((name.partition(".")[0], at_once) for name in names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_once and not inside and not typing)

    yield from visit(tree, True)


def others(path: Path) -> set[tuple[str, bool]]:
    """The distributions that a module imports, and whether at its own import."""
    found = set()
    for name, at_once in imported(ast.parse(path.read_bytes())):
        if name not in sys.stdlib_module_names and name not in OWN:
            of = [normal(each) for each in BRINGS.get(name, [name])]
            found.add((next((each for each in of if each in DECLARED), of[0]), at_once))
    return found


RUNTIME = required(PROJECT["dependencies"])
CORE = RUNTIME | required(PROJECT["optional-dependencies"]["train"])
EXTRAS = required([line for lines in PROJECT["optional-dependencies"].values() for line in lines])
DECLARED = (CORE | EXTRAS) - {"distil-harness"}
IMPORTS = {path: others(path) for path in MODULES}


def test_imports_are_found() -> None:
    source = "import a.b\nif TYPE_CHECKING:\n    import t\ndef f():\n    from c.d import e\n    files('g')"
    assert set(imported(ast.parse(source))) == {("a", True), ("t", False), ("c", False), ("g", False)}


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Blocker())
from harness.cli import main
main()
"""


def without_training(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command where no package of the extra `train` can be imported."""
    blocked = {name for name, of in BRINGS.items() if (CORE - RUNTIME) & {*map(normal, of)}}
    script = BLOCKED.format(blocked={name for name in blocked if not name.startswith("_")})
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT)


def test_predict_needs_no_package_for_training() -> None:
    model = ROOT / "tests" / "fixtures" / "earlier" / "bundles" / "classification"
    done = without_training("predict", str(model), given="a fine day\n")
    assert done.returncode == 0 and '"label"' in done.stdout, done.stderr


def test_other_commands_name_the_packages_for_training() -> None:
    done = without_training("plugins")
    assert done.returncode == 2
    says = "; install the packages for training: pip install 'distil-harness[train]'\n"
    assert done.stderr == f"error: No module named 'pluggy'{says}"


def test_every_import_is_declared() -> None:
    missing = {
        str(path.relative_to(ROOT)): sorted(names)
        for path, found in IMPORTS.items()
        if (names := {name for name, _ in found} - DECLARED - BROUGHT)
    }
    assert not missing, f"declare these in pyproject.toml, with their lowest versions: {missing}"


def test_what_the_core_imports_at_once_is_always_installed() -> None:
    late = {
        str(path.relative_to(ROOT)): sorted(names)
        for path, found in IMPORTS.items()
        if path.is_relative_to(ROOT / "harness")
        if (names := {name for name, at_once in found if at_once} - CORE)
    }
    assert not late, f"import extras inside functions: {late}"


def test_every_dependency_is_used() -> None:
    assert CORE & {name for found in IMPORTS.values() for name, _ in found} == CORE


def test_every_dependency_has_a_floor() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    stubs = ("pandas-stubs", "types-")  # for mypy
    others = (*stubs, "distil-harness[")
    lines = [line for group in groups for line in group if not line.startswith(others)]
    assert [line for line in lines if not re.search(r"[>=]=\d", line)] == []


def test_a_wheel_has_all_files(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    build = ("setup.py", "-q", "egg_info", "--egg-base", tmp_path, "build_py", "--build-lib", lib)
    done = subprocess.run([sys.executable, *map(str, build)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = {path.relative_to(ROOT) for path in (ROOT / "harness").rglob("*") if path.is_file()}
    wanted |= {Path("harness", "suites", path.name) for path in (ROOT / "suites").glob("*.toml")}
    made = {path.relative_to(lib) for path in lib.rglob("*.*")}
    assert {path for path in wanted if path.suffix != ".pyc"} <= made
    for folder in OWN - {"harness"}:
        assert (lib / folder / "__init__.py").is_file()


def test_a_source_distribution_has_all_files() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    command = ["git", "-C", str(ROOT), "ls-files"]
    tracked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    words = set((ROOT / "MANIFEST.in").read_text(encoding="utf-8").split())
    always = {"LICENSE", "README.md", "pyproject.toml", "setup.py", *FOLDERS}  # by setuptools
    left = {path.partition("/")[0] for path in tracked} - words - always - {".gitignore", "MANIFEST.in"}
    assert not left, f"add these to MANIFEST.in: {left}"
