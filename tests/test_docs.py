"""What the documents show works, and the repository keeps its own rules."""

from __future__ import annotations

import ast
import csv
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from harness import catalog, hookspecs, plan, suite
from harness.catalog import Catalog
from harness.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "tests/benchmarks/README.md")
MODULES = sorted(
    path for folder in ("harness", "plugins") for path in (ROOT / folder).rglob("*.py") if path.is_file()
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code: its language, the file that it says it is, and where it stands."""

    document: str
    line: int
    language: str
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(*documents: str) -> Iterator[Block]:
    for document in documents:
        text = (ROOT / document).read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(document, line, match[1], match[2] or "", match[3])


BLOCKS = list(blocks(*DOCUMENTS))
SUITES = [block for block in BLOCKS if block.language == "toml" and not block.file]
COMMANDS = [
    pytest.param(line, id=f"{block}: {line}")
    for block in BLOCKS
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.split()[0] == "harness"
]
PROSE = {document: (ROOT / document).read_text(encoding="utf-8") for document in (*DOCUMENTS, "CHANGELOG.md")}


def install(site: Path, module: str, source: str, points: str) -> None:
    """Put a module on a folder of packages, as pip would, under entry points of the group `harness`."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[harness]\n{points}\n")
    (site / f"{module}.py").write_text(source, encoding="utf-8")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """CONTRIBUTING's package, installed as its pyproject.toml says."""
    files = {block.file: block.text for block in BLOCKS if block.document == "CONTRIBUTING.md" and block.file}
    project = tomllib.loads(files["pyproject.toml"])
    points = project["project"]["entry-points"]["harness"]
    (module,) = project["tool"]["setuptools"]["py-modules"]
    site = tmp_path / "site"
    install(site, module, files[f"{module}.py"], "\n".join(f"{k} = {v}" for k, v in points.items()))
    (site / f"test_{module}.py").write_text(files[f"test_{module}.py"])
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop(module, None)


def planned(text: str, found: Catalog, folder: Path) -> plan.Plan:
    """The plan of a suite's text, with data where the suite has files of the reader's."""
    read = suite.parse(text, found, folder / "example.toml")
    for task in read.tasks:
        if task.name == "file":
            with (folder / vars(task)["train"]).open("w", newline="", encoding="utf-8") as stream:
                rows = csv.writer(stream)
                rows.writerow([vars(task)["text"], vars(task)["label"]])
                rows.writerows([f"text number {n}", f"label {n % 2}"] for n in range(60))
    sources = {"source": "auto" if any(task.name == "file" for task in read.tasks) else "sample"}
    return plan.build(read, found, **sources)


# -- what the documents show -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.toml")), ids=lambda path: str(path.name))
def test_our_suites_plan(path: Path, tmp_path: Path) -> None:
    found = planned(path.read_text(encoding="utf-8"), catalog.load(), tmp_path)
    assert found.cells
    assert {cell.status for cell in found.cells} <= {"ok", "unavailable"}


@pytest.mark.parametrize("block", SUITES, ids=str)
def test_suites_in_documents_plan(
    block: Block, outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = planned(block.text, catalog.load(), tmp_path)
    assert {cell.role for cell in found.cells} == {"teacher", "baseline", "distilled"}
    assert {cell.status for cell in found.cells} == {"ok"}


def test_the_readmes_plugin_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.testing import check_component

    (block,) = [block for block in BLOCKS if block.document == "README.md" and block.language == "python"]
    install(tmp_path / "site", "your_module", block.text, "swap = your_module")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    try:
        found = catalog.load()
        assert found.failures == ()
        component = found.build("augmenter", {"use": "swap", "copies": 2})
        check_component(component, found)
        assert 'swap = "your_module"' in PROSE["README.md"]
    finally:
        sys.modules.pop("your_module", None)


def test_contributings_package_passes_its_own_test(outside: Path) -> None:
    (path,) = outside.glob("test_*.py")
    written: dict[str, Any] = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), written)
    tests = [value for name, value in written.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_contributings_package_runs_in_a_suite(outside: Path, tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w", encoding="utf-8") as stream:
        stream.write(
            "text,label\n" + "".join(f"it is {'good' if n % 2 else 'bad'} {n},{n % 2}\n" for n in range(60))
        )
    (tmp_path / "outside.toml").write_text(
        """
        [suite]
        latency = false
        [[task]]
        use = "file"
        train = "rows.csv"
        [[teacher]]
        use = "student"
        student = { use = "tfidf-logreg" }
        [[student]]
        use = "loudest-words"
        epochs = 1
        [[loss]]
        use = "cosine"
        """
    )
    command = [sys.executable, "-m", "harness.cli", "bench", "outside.toml", "--devices", "cpu:1"]
    environment = {**os.environ, "PYTHONPATH": str(outside)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    records = (tmp_path / "results" / "outside" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(records) == 3  # the teacher, the baseline, the distilled student
    assert sum('"plugin": "loudest-words 1.0"' in record for record in records) == 2


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist_with_their_options(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = main.commands[name]
    with command.make_context(name, arguments):
        pass


def test_every_command_and_option_of_the_tables_exists() -> None:
    shown = {words[1] for words in map(str.split, re.findall(r"`(harness [^`]+)`", PROSE["README.md"]))}
    assert shown == set(main.commands)
    known = {
        name
        for command in main.commands.values()
        for option in command.params
        for name in option.opts
        if isinstance(option, click.Option)
    }
    for document in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"`(--[a-z]+)", PROSE[document])) <= known


def test_exit_statuses_are_documented() -> None:
    from harness import cli

    shown = {int(status) for status in re.findall(r"^\| (\d+) \|", PROSE["README.md"], re.MULTILINE)}
    assert shown == {cli.OK, cli.SOME_FAILED, cli.BAD_USAGE, cli.INTERRUPTED}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document, text in PROSE.items():
        code = "\n".join(block.text for block in BLOCKS if block.document == document)
        named = {
            *re.findall(r"`make ([a-z-]+)`", text),
            *re.findall(r"^make ([a-z-]+)", code, re.MULTILINE),
        }
        assert named <= targets, document
    lines = PROSE["README.md"].split("```")[1].splitlines()
    assert lines == ["sh", "make bench", "make test"]


@pytest.mark.parametrize("document", PROSE)
def test_links_within_the_repository_lead_somewhere(document: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", PROSE[document], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = ROOT / Path(document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, link


def test_the_layout_is_the_repositorys() -> None:
    (tree,) = [block.text for block in BLOCKS if block.language == "text"]
    shown, folders = set(), [Path()]
    for line in tree.splitlines():
        match = re.match(r"( *)(\S+)  +\S", line)
        if not match or len(match[1]) > 4:
            continue  # what continues a phrase
        depth = len(match[1]) // 2
        folders = [*folders[: depth + 1], folders[depth] / match[2]]
        shown.add(folders[-1])
    missing = sorted(str(path) for path in shown - {Path("results")} if not (ROOT / path).exists())
    assert not missing, f"README's layout names what is not there: {missing}"
    there = {*(ROOT / "harness").glob("*.py"), *(ROOT / "harness").glob("*/__init__.py")}
    there = {path.parent if path.name == "__init__.py" else path for path in there} | set(
        folders_of_plugins()
    )
    listed = {path.parent for path in shown if path.suffix == ".py" and path.parts[0] == "harness"}
    there |= {path for folder in listed for path in (ROOT / folder).glob("[!_]*.py")}
    unnamed = sorted(str(path.relative_to(ROOT)) for path in there if path.relative_to(ROOT) not in shown)
    assert not unnamed, f"README's layout lacks {unnamed}"


# -- what the repository promises of itself ------------------------------------------------------------------


def folders_of_plugins() -> list[Path]:
    return [
        path for path in (ROOT / "plugins").iterdir() if path.name.startswith("harness_") and path.is_dir()
    ]


@pytest.mark.parametrize("hook", catalog.HOOKS)
def test_every_hook_is_documented_and_tested(hook: str) -> None:
    assert getattr(hookspecs, hook).__doc__
    assert hook in PROSE["CONTRIBUTING.md"]
    mine = Path(__file__)
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != mine]
    assert any(hook in path.read_text(encoding="utf-8") for path in tests), f"no test names {hook}"


def test_hooks_are_those_of_the_catalog() -> None:
    assert {name for name in vars(hookspecs) if name.startswith("register_")} == set(catalog.HOOKS)


def test_every_plugin_folder_has_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    points = set(project["project"]["entry-points"]["harness"].values())
    assert points == {path.name for path in folders_of_plugins()}
    assert not (ROOT / "plugins" / "__init__.py").exists()


def test_no_module_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long, f"modules over 450 lines want splitting: {long}"


def test_only_the_command_prints() -> None:
    beside = ("common.py", "shipping.py", "advising.py", "display.py")
    allowed = {ROOT / "harness" / "cli.py", *(ROOT / "harness" / "commands" / name for name in beside)}
    assert all(path.exists() for path in allowed)
    for path in set(MODULES) - allowed:
        calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
        printing = [call.lineno for call in calls if ast.unparse(call.func) in ("print", "click.echo")]
        assert not printing, f"{path.relative_to(ROOT)} prints in line {printing}"


def test_licence_and_changelog_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert project["license"] == "Apache-2.0"
    assert licence.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert f"## [{project['version']}]" in PROSE["CHANGELOG.md"]


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    pinned = {normal(pin.partition("==")[0]) for pin in pins}
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(name for extra in extras.values() for name in extra)]
    names = {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in wanted}  # type: ignore[index]
    assert names <= pinned, names - pinned


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_tracked_file_names_a_folder_of_this_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    patterns = [f"/{name}/" for name in ("work", "root")]
    command = ["git", "-C", str(ROOT), "grep", "-nIF", *(f"-e{pattern}" for pattern in patterns), "--"]
    done = subprocess.run([*command, "."], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    assert not done.stdout, done.stdout[:2000]
