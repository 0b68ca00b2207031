"""What the documents show works, and the repository keeps its own rules."""

from __future__ import annotations

import ast
import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import layout
import pytest

from harness import catalog, hookspecs
from harness.api import KINDS, TaskType
from harness.catalog import Catalog
from harness.cli import main
from harness.parameters import types_of
from harness.plan import planner as plan
from harness.results.record import Record, read
from harness.suite import reader as suite

ROOT = Path(__file__).parent.parent
PAGES = tuple(sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "tests/benchmarks/README.md", *PAGES)
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
        for match in re.finditer(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(document, line, match[1], match[2] or "", match[3])


def calls(text: str) -> Iterator[list[str]]:
    """The words of each call of the command in a shell's lines, also behind a pipe."""
    for line in text.splitlines():
        for part in line.split(" | "):
            words = shlex.split(part.partition(" > ")[0], comments=True)
            if words[:1] == ["harness"]:
                yield words[: words.index(">")] if ">" in words else words


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def named(text: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def rows(document: str, title: str) -> list[list[str]]:
    """The cells of the table whose first column has this title."""
    found = []
    lines = iter(PROSE[document].splitlines())
    for line in lines:
        if line.startswith(f"| {title} |"):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append([cell.strip() for cell in row.strip("|").split("|")])
    assert found, f"{document} has no table of {title}"
    return found


BLOCKS = list(blocks(*DOCUMENTS))
SUITES = [block for block in BLOCKS if block.language == "toml" and not block.file]
COMMANDS = [
    pytest.param(words, id=f"{block}: {' '.join(words)}")
    for block in BLOCKS
    if block.language == "sh"
    for words in calls(block.text)
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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_in_documents_parses(document: str) -> None:
    fences = re.findall(r"^ *```", PROSE[document], re.MULTILINE)
    mine = [block for block in BLOCKS if block.document == document]
    assert len(fences) == 2 * len(mine), "a block of code is indented, or is not closed"
    for block in mine:
        assert block.language in {"sh", "toml", "python", "console", "text"}, block
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "python":
            ast.parse(block.text)
        elif block.language == "sh":
            assert all(shlex.split(line) for line in block.text.splitlines()), block


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
    # No test asks the hub.
    of_hub = any(cell.task.name == "hub" or hasattr(cell.teacher, "model") for cell in found.cells)
    statuses = {cell.status for cell in found.cells}
    assert "unavailable" in statuses <= {"ok", "unavailable"} if of_hub else statuses == {"ok"}


def test_the_readmes_plugin_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.testing.checks import check_component

    (block,) = [block for block in BLOCKS if block.document == "README.md" and block.language == "python"]
    install(tmp_path / "site", "your_module", block.text, "swap = your_module")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    try:
        found = catalog.load()
        assert found.failures == ()
        component = found.build("augmenter", {"use": "swap"})
        check_component(component, found)
        assert 'swap = "your_module"' in PROSE["README.md"]
    finally:
        sys.modules.pop("your_module", None)


def test_contributings_package_passes_its_own_test(outside: Path) -> None:
    (path,) = outside.glob("test_*.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "--rootdir", str(outside), str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, cwd=outside, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr
    one = subprocess.run(
        [*command, "-k", "loudest-words and saves"], env=environment, capture_output=True, text=True
    )
    assert one.returncode == 0 and "deselected" in one.stdout, one.stdout + one.stderr


def test_contributings_task_type_passes_its_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.testing import check_component

    (block,) = [block for block in BLOCKS if block.file == "ratings.py"]
    install(tmp_path / "site", "ratings", block.text, "ratings = ratings")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    try:
        found = catalog.load()
        assert found.failures == ()
        check_component(found.task_type("ratings"), found)
    finally:
        sys.modules.pop("ratings", None)
        TaskType.known.pop("ratings", None)


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


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_exist_with_their_options(words: list[str]) -> None:
    name, *arguments = words[1:]
    command = main.commands[name]
    if isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    with command.make_context(name, arguments):
        pass


def test_every_command_has_its_row() -> None:
    listed = [
        name for shown, _ in rows("README.md", "command") for name in re.findall(r"`harness (\w+)", shown)
    ]
    assert sorted(listed) == sorted(main.commands)


def taken(command: click.Command) -> Iterator[click.Parameter]:
    """The parameters of a command, or of all commands in its group."""
    yield from command.params
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from inner.params


@pytest.mark.parametrize("document", ("README.md", "CONTRIBUTING.md", *PAGES))
def test_commands_and_options_in_prose_exist(document: str) -> None:
    prose = without_code(PROSE[document])
    shown = re.findall(r"`harness ([^ `]+)", prose)
    assert set(shown) <= set(main.commands)
    options = {
        name: {
            "--help",
            *(opt for option in taken(command) for opt in (*option.opts, *option.secondary_opts)),
        }
        for name, command in main.commands.items()
    }
    assert set(re.findall(r"`(--[a-z0-9-]+)", prose)) <= set().union(*options.values())
    for name, option in re.findall(r"`(?:harness )?([a-z]+) (--[a-z0-9-]+)", prose):
        assert name not in options or option in options[name], f"{name} has no {option}"


def test_exit_statuses_are_documented() -> None:
    from harness.commands import options

    shown = {int(status) for status, _ in rows("docs/commands.md", "exit status")}
    stopped = {128 + signal.SIGHUP, 128 + signal.SIGTERM}
    assert shown == {options.OK, options.SOME_FAILED, options.BAD_USAGE, options.INTERRUPTED, *stopped}


def test_variables_of_the_environment_are_documented() -> None:
    ours = set()
    for path in MODULES:
        ours |= set(re.findall(r"""["'](HARNESS_[A-Z_]+)["']""", path.read_text(encoding="utf-8")))
    shown = {name.strip("`") for name, _ in rows("docs/commands.md", "variable")}
    assert {name for name in shown if name.startswith("HARNESS_")} == ours


def test_the_example_of_a_suite_has_every_table_and_setting() -> None:
    (block,) = [block for block in SUITES if block.document == "docs/suites.md"]
    example = tomllib.loads(block.text)
    assert set(example) == {"suite", *KINDS, "exclude", "tracker"}
    assert set(example["suite"]) == set(types_of(suite._Settings))


def test_all_fields_of_a_record_are_documented() -> None:
    shown = [name for cells in rows("docs/outputs.md", "field") for name in named(cells[0])]
    assert len(shown) == len(set(shown))
    assert set(Record.__annotations__) <= set(shown)
    written = {field for record in read(ROOT / "results/emotion/records.jsonl") for field in record}
    assert written <= set(shown)
    of_types = {"decision"}  # written only for types of task that choose something on the validation set
    assert set(shown) <= written | set(Record.__annotations__) | of_types


@pytest.mark.parametrize("kind", catalog.REGISTERED)
def test_our_components_are_documented(kind: str) -> None:
    ours = {
        entry.component.name
        for entry in catalog.load().entries.values()
        if entry.package == catalog.DISTRIBUTION and entry.kind == kind
    }
    if kind == "tracker":
        shown = {name for cells in rows("docs/trackers.md", "tracker") for name in named(cells[0])}
    elif kind == "executor":
        shown = {name for cells in rows("docs/executors.md", "executor") for name in named(cells[0])}
    else:
        (listed,) = [names for title, names in rows("docs/recipes.md", "kind") if title == kind]
        shown = named(listed)
    assert shown == ours


@pytest.mark.parametrize("document", ("README.md", *PAGES))
def test_components_that_are_named_exist(document: str) -> None:
    entries = catalog.load().entries.values()
    prose = without_code(PROSE[document])
    for kind in KINDS:
        known = {entry.component.name for entry in entries if entry.kind == kind}
        plural = "losses" if kind == "loss" else f"{kind}s"
        for names in re.findall(rf"\b(?:{kind}|{plural}) ((?:`[^`]+`(?:, | and )?)+)", prose):
            assert named(names) <= known, f"{kind} {names}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document, text in PROSE.items():
        code = "\n".join(block.text for block in BLOCKS if block.document == document)
        called = {
            *re.findall(r"`make ([a-z-]+)`", text),
            *re.findall(r"^make ([a-z-]+)", code, re.MULTILINE),
        }
        assert called <= targets, document
    lines = PROSE["README.md"].split("```")[1].splitlines()
    assert lines == ["sh", "make bench", "make test"]


def links(document: str) -> Iterator[tuple[str, str]]:
    """The path from the root and the anchor, either may be empty, of each link within the repository."""
    prose = re.sub(r"`[^`\n]*`", "", without_code(PROSE[document]))
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            there = ROOT / Path(document).parent / path if path else ROOT / document
            yield os.path.relpath(there, ROOT), anchor


@pytest.mark.parametrize("document", PROSE)
def test_links_within_the_repository_lead_somewhere(document: str) -> None:
    for path, anchor in links(document):
        assert (ROOT / path).exists(), path
        if anchor:
            prose = without_code((ROOT / path).read_text(encoding="utf-8"))
            titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert slugs.count(anchor) == 1, f"{path}#{anchor}"


def test_the_readme_is_a_front_page() -> None:
    assert len(PROSE["README.md"].splitlines()) <= 150
    listed = [
        name for row in rows("README.md", "page") for name in re.findall(r"\((docs/[^)#]+)\)", " ".join(row))
    ]
    assert sorted(listed) == list(PAGES)


def tree(document: str) -> set[Path]:
    """What a document's layout names: files and folders, from the root."""
    (block,) = [block for block in BLOCKS if block.document == document and block.language == "text"]
    shown, folders = set(), [Path()]
    for line in block.text.splitlines():
        match = re.match(r"( *)(\S+)  +\S", line)
        if not match or len(match[1]) > 4:
            continue  # what continues a phrase
        depth = len(match[1]) // 2
        folders = [*folders[: depth + 1], folders[depth] / match[2]]
        shown.add(folders[-1])
    return shown


def test_the_layout_names_what_is_there(document: str = "docs/layout.md") -> None:
    shown = tree(document)
    missing = sorted(str(path) for path in shown - {Path("results")} if not (ROOT / path).exists())
    assert not missing, f"the layout of {document} names what is not there: {missing}"
    folders = {Path(name) for name in ("harness", "plugins", "suites", "results", "docs", "tests")}
    assert folders <= shown


def test_the_layout_is_that_of_today() -> None:
    assert layout.page() == PROSE["docs/layout.md"], "run: python tests/layout.py"


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
    inits = {path.name: (path / "__init__.py").read_text(encoding="utf-8") for path in folders_of_plugins()}
    assert points == {name for name, source in inits.items() if "@harness.hookimpl" in source}
    assert set(inits) - points == {"harness_transformers"}  # a library
    assert not (ROOT / "plugins" / "__init__.py").exists()


def test_no_module_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long, f"modules over 450 lines want splitting: {long}"


WRITES = re.compile(
    r"print|click\.echo|(sys\.)?(stdout|stderr)\.write|(self\.|_)?console\.print|open_console\(\)\.print"
)


def test_only_the_command_prints() -> None:
    commands = ROOT / "harness" / "commands"
    allowed = {ROOT / "harness" / "cli.py", *commands.glob("*.py")}
    found: dict[Path, list[int]] = {}
    for path in MODULES:
        calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
        found[path] = [call.lineno for call in calls if WRITES.fullmatch(ast.unparse(call.func))]
    assert all(found[commands / name] for name in ("console.py", "plan.py", "progress.py"))  # it finds them
    printing = {str(path.relative_to(ROOT)): lines for path, lines in found.items() if lines}
    assert set(printing) <= {str(path.relative_to(ROOT)) for path in allowed}, printing


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
    assert names - {normal(project["name"])} <= pinned, names - pinned


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
