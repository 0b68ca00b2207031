"""Entry points are real: a fake dist-info folder on sys.path is all that importlib.metadata asks for."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from components import fake_distribution
from pydantic import AfterValidator
from stand_ins import Kl
from stand_ins import Weighted as Sum

import harness
from harness import catalog
from harness.catalog import Catalog, Entry
from harness.parameters import ParameterErrors, describe, shown, spell
from harness.task_types.base import TaskType
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging

GROUP = "harness-under-test"
ROOT = Path(__file__).parent.parent

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with one plugin, or several, on sys.path."""
    before = set(sys.modules)
    monkeypatch.delenv(catalog.DISABLE, raising=False)

    def install(package: str, version: str = "1.0", *, folder: str = "site", **plugins: str) -> None:
        site = tmp_path / folder
        modules = {name: f"fake_{package.replace('-', '_')}_{name}" for name in plugins}
        fake_distribution(site, package, version, group=GROUP, points=modules)
        for name, source in plugins.items():
            (site / f"{modules[name]}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(str(site))

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]


def plugin(name: str = "mlp", kind: str = "Student", body: str = "width: int = 3") -> str:
    hook = {"Loss": "register_losses"}.get(kind, f"register_{kind.lower()}s")
    return (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import harness\n\n"
        "@dataclass(frozen=True)\n"
        f"class Made(harness.{kind}):\n"
        '    """Made up.\n\n    More.\n    """\n'
        f"    name = '{name}'\n"
        f"    {body}\n\n"
        "@harness.hookimpl\n"
        f"def {hook}(register):\n"
        "    register(Made)\n"
    )


def load() -> Catalog:
    return catalog.load(group=GROUP)


# -- loading ------------------------------------------------------------------------------------------


def test_a_component_has_its_origin(install: Install, tmp_path: Path) -> None:
    install("good-plugin", "1.2", neural=plugin())
    found = load()
    assert found.failures == ()
    entry = found.get("student", "mlp")
    assert (entry.kind, entry.name, entry.plugin) == ("student", "mlp", "neural")
    assert (entry.package, entry.package_version) == ("good-plugin", "1.2")
    assert entry.file == str(tmp_path / "site" / "fake_good_plugin_neural.py")
    assert entry.line == 6
    assert entry.summary == "Made up."
    assert [(p.name, p.type, p.default) for p in entry.parameters()] == [("width", "integer", "3")]
    student = found.build("student", {"use": "mlp", "width": 5})
    assert repr(student) == "Made(width=5)"
    assert found.entry_of(student) is entry
    assert found.package_of(student) == "good-plugin 1.2"
    assert found.names("student") == ["mlp"]
    assert found.names("loss") == []


def test_an_entry_point_may_name_an_object(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        class Plugin:
            @harness.hookimpl
            def register_students(self, register):
                register(Made)

        plugin = Plugin()
    """
    install("objects", one=plugin().partition("@harness.hookimpl")[0] + textwrap.dedent(source))
    points = tmp_path / "site" / "objects-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + ":plugin")
    found = load()
    assert found.failures == ()
    assert found.names("student") == ["mlp"]


def test_a_plugin_may_add_a_type_of_task(install: Install) -> None:
    source = plugin("ordered", "TaskType", "places: int = 3").replace("tasktypes", "task_types")
    assert "def register_task_types(register):" in source
    install("types", more=source)
    found = load()
    assert found.failures == ()
    assert found.names("task type") == ["ordered"]
    assert repr(found.task_type("ordered", {"places": 5})) == "Made(places=5)"
    assert found.package_of(found.task_type("ordered")) == "types 1.0"
    # The core's own types are there too, though no plugin of this group registers them.
    assert found.task_type("tagging") == Tagging()
    assert found.package_of(Tagging()) == f"{catalog.DISTRIBUTION} {harness.__version__}"
    with pytest.raises(harness.HarnessError, match="did you mean 'ordered'"):
        found.task_type("orderd")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import no_such_module",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("def broken(:", "cannot be imported: SyntaxError: invalid syntax"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("class Panic(BaseException): ...\nraise Panic", "cannot be imported: fake_bad_it.Panic"),
        (
            "import harness\nharness.hookimp",
            "cannot be imported: AttributeError: module 'harness' has no attribute",
        ),
    ],
)
def test_a_plugin_that_cannot_be_imported_stops_no_other(install: Install, source: str, reason: str) -> None:
    install("bad", it=source)
    install("good", it=plugin())
    found = load()
    assert found.names("student") == ["mlp"]
    (failure,) = found.failures
    assert (failure.plugin, failure.package) == ("it", "bad")
    assert failure.reason.startswith(reason)
    assert "fake_bad_it.py" in failure.traceback


def test_an_interrupt_is_no_failure(install: Install) -> None:
    install("slow", it="import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(60)")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            load()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (
            "register_students(",
            "register_student(",
            "unknown hook 'register_student'; did you mean 'register_students'?",
        ),
        ("(register)", "(reg)", "hook 'register_students' takes one argument, 'register', got (reg)"),
        ("(register)", "()", "hook 'register_students' takes one argument, 'register', got ()"),
        ("@harness.hookimpl", "", "'register_students' is missing the @harness.hookimpl decorator"),
        ("def register_students", "def helper", "unknown hook 'helper' (allowed: register_augmenters"),
    ],
)
def test_a_mistyped_hook_is_named(install: Install, before: str, after: str, reason: str) -> None:
    head, mark, hook = plugin().partition("\n@harness")
    other = plugin("kl", "Loss").replace("Made", "Other")
    install(
        "typo", it=head + (mark + hook).replace(before, after, 1) + "\n" + other.partition("harness\n")[2]
    )
    found = load()
    (failure,) = found.failures
    assert failure.reason.startswith(reason)
    assert "fake_typo_it.py" in failure.traceback
    assert found.names("loss") == ["kl"]  # the plugin's sound hooks are called all the same
    assert found.names("student") == []


def test_a_module_without_hooks_is_a_failure(install: Install) -> None:
    install("empty", it="x = 1")
    (failure,) = load().failures
    assert failure.reason.startswith("has no hook (allowed: register_tasks, register_teachers,")


def test_a_hook_that_raises_keeps_what_it_had_registered(install: Install) -> None:
    install("half", it=plugin() + "    raise RuntimeError('later')\n")
    found = load()
    assert found.names("student") == ["mlp"]
    (failure,) = found.failures
    assert failure.reason == "register_students failed: RuntimeError: later"
    assert "line 17, in register_students" in failure.traceback


def test_a_wrong_registration_shows_the_authors_line(install: Install) -> None:
    install("wrong", it=plugin("Not Kebab"))
    (failure,) = load().failures
    assert failure.reason == (
        "register_students failed: TypeError: "
        "Made needs a `name` in kebab-case, such as 'my-student', got 'Not Kebab'"
    )
    assert 'fake_wrong_it.py", line 16, in register_students\n    register(Made)' in failure.traceback


def test_of_two_components_with_one_name_the_first_in_order_stays(install: Install) -> None:
    also = "\n@dataclass(frozen=True)\nclass More(harness.Student):\n    '''More.'''\n    name = 'more'\n"
    install("b-second", it=(plugin() + "    register(More)\n").replace("\n@harness", f"{also}\n@harness"))
    install("a-first", it=plugin())
    found = load()
    assert found.get("student", "mlp").package == "a-first"
    assert found.get("student", "more").package == "b-second"  # no mistake of its author, so it goes on
    (failure,) = found.failures
    assert (failure.plugin, failure.package) == ("it", "b-second")
    assert failure.reason == (
        "cannot register student 'mlp' of plugin 'it' of b-second: "
        "plugin 'it' of a-first already has this name; rename one of them"
    )
    assert "in register_students\n    register(Made)" in failure.traceback


def test_our_own_components_come_first(install: Install) -> None:
    install("a-first", it=plugin())
    install(catalog.DISTRIBUTION, it=plugin())
    assert load().get("student", "mlp").package == catalog.DISTRIBUTION


@pytest.mark.parametrize(
    ("package", "changes"),
    [
        (catalog.DISTRIBUTION, "{folder}, environment variable MADE_UP"),
        ("a-strangers", "json.dumps, {folder}"),  # other people's are also kept from what modules have
    ],
)
def test_what_an_import_changes_is_undone_and_told_without_secrets(
    install: Install, package: str, changes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, dumps = Path.cwd(), json.dumps
    monkeypatch.setattr(json, "dumps", dumps)  # put back after the test
    code = (
        "import json, os\nos.environ['MADE_UP'] = 'secret'\nos.chdir('/')\njson.dumps = json.dumps.__call__\n"
    )
    install(package, it=plugin().replace("import harness\n", f"import harness\n{code}"))
    found = load()
    assert found.names("student") == ["mlp"]
    (failure,) = found.failures
    told = changes.format(folder=f"the current folder (from {here} to /)")
    assert failure.reason == f"its import changed {told}; that was undone"
    assert Path.cwd() == here and "MADE_UP" not in os.environ
    assert (json.dumps is dumps) == (package == "a-strangers")


def test_one_name_may_stand_for_several_kinds(install: Install) -> None:
    install("both", one=plugin("same"), two=plugin("same", "Loss"))
    found = load()
    assert found.failures == ()
    assert sorted(found.entries) == [("loss", "same"), ("student", "same")]


def test_a_distribution_that_is_on_the_path_twice_registers_once(install: Install) -> None:
    install("twice", it=plugin(), folder="old")
    install("Twice", "2.0", it=plugin(), folder="new")
    found = load()
    assert found.failures == ()
    assert found.get("student", "mlp").package_version == "2.0"


@pytest.mark.parametrize("names", ["Un_Wanted", "it", " other , un.wanted,"])
def test_plugins_can_be_disabled(install: Install, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    install("un-wanted", it="raise SystemExit")
    install("wanted", that=plugin())
    monkeypatch.setenv(catalog.DISABLE, names)
    found = load()
    assert found.failures == ()
    assert found.names("student") == ["mlp"]


def test_a_damaged_entry_point_file_stops_no_other(install: Install, tmp_path: Path) -> None:
    install("damaged", it=plugin())
    install("good", it=plugin("other"))
    (tmp_path / "site" / "damaged-1.0.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\nnonsense\n")
    found = load()
    assert found.names("student") == ["other"]
    (failure,) = found.failures
    assert failure.package == "damaged"
    assert failure.reason.startswith("cannot be read: ")


def test_there_is_a_hook_for_every_kind() -> None:
    from harness import hookspecs
    from harness.catalog import REGISTERED

    assert set(catalog.HOOKS) == {name for name in vars(hookspecs) if name.startswith("register_")}
    assert (
        set(catalog.HOOKS.values())
        == set(REGISTERED)
        == {*harness.api.KINDS, "task type", "tracker", "executor"}
    )


def test_our_name_is_that_of_the_distribution() -> None:
    assert f'name = "{catalog.DISTRIBUTION}"' in (ROOT / "pyproject.toml").read_text()


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'pyarrow', 'pydantic'}"
    assert (
        python(f"import sys, harness.catalog, harness.suite.reader; print({heavy} & sys.modules.keys())")
        == "set()\n"
    )


def test_an_outside_package_is_found_once_it_is_installed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        textwrap.dedent("""
            [build-system]
            requires = ["setuptools"]
            build-backend = "setuptools.build_meta"

            [project]
            name = "a-strangers-students"
            version = "0.3"

            [project.entry-points.harness]
            strange = "a_strangers_students"

            [tool.setuptools]
            py-modules = ["a_strangers_students"]
        """)
    )
    (project / "a_strangers_students.py").write_text(plugin("strange-one"))
    target = tmp_path / "target"
    options = "--no-deps --no-build-isolation --no-index --quiet --disable-pip-version-check --target"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options.split(), str(target), str(project)],
        check=True,
        capture_output=True,
        text=True,
    )
    code = """
        from harness import catalog
        found = catalog.load()
        entry = found.get("student", "strange-one")
        print(entry.package, entry.package_version, entry.plugin, entry.file, entry.line)
        print(found.build("student", {"use": "strange-one", "width": 7}))
    """
    assert python(textwrap.dedent(code), PYTHONPATH=str(target)).splitlines() == [
        f"a-strangers-students 0.3 strange {target / 'a_strangers_students.py'} 6",
        "Made(width=7)",
    ]


# -- what may be registered ---------------------------------------------------------------------------


def test_what_may_be_registered() -> None:
    for component, base in ((Mlp, "student"), (Kl, "loss"), (Weighted, "loss")):
        catalog.vet(base, component)


def unfit(**attributes: Any) -> type[Any]:
    """A student class like a good one but for what is given."""
    namespace = {"__doc__": "Unfit.", "name": "unfit", "__module__": __name__} | attributes
    fields = namespace.pop("fields", [])
    options = {"frozen": True} | namespace.pop("options", {})
    return make_dataclass("Unfit", fields, bases=(harness.Student,), namespace=namespace, **options)


@dataclass(frozen=True)
class _Decorated(harness.Student):
    """Decorated."""

    name = "decorated"


class _Undecorated(_Decorated):
    """Undecorated."""


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        (_Decorated(), "register a class that derives from harness.Student, not _Decorated()"),
        (int, "int does not derive from harness.Student"),
        (harness.Student, "Student needs a `name` in kebab-case"),
        (
            unfit(fields=[("name", "str", "x")]),
            "hides an attribute of Student; write `name = ...` without a type",
        ),
        (_Undecorated, "_Undecorated must be decorated with @dataclass(frozen=True)"),
        (unfit(options={"eq": False}), "Unfit must be decorated with @dataclass(frozen=True)"),
        (unfit(options={"repr": False}), "Unfit must be decorated with @dataclass(frozen=True)"),
        (unfit(__hash__=None), "Unfit must be hashable"),
        (unfit(name=""), "Unfit needs a `name` in kebab-case, such as 'my-student', got ''"),
        (unfit(name="Mlp"), "got 'Mlp'"),
        (unfit(name="a--b"), "got 'a--b'"),
        (unfit(name=3), "got 3"),
        (unfit(version=0), "the `version` of Unfit must be a whole number from 1, got 0"),
        (unfit(version="2"), "got '2'"),
        (unfit(__doc__=None), "Unfit needs a docstring"),
        (unfit(__doc__=" "), "Unfit needs a docstring"),
        (unfit(fields=[("fit", "int", 3)]), "the parameter 'fit' of Unfit hides an attribute of Student"),
        (
            unfit(fields=[("use", "int", 3)]),
            "the parameter 'use' of Unfit has a name that is reserved in suites",
        ),
        (unfit(fields=[("sweep", "int", 3)]), "has a name that is reserved in suites"),
        (
            unfit(fields=[("x", "tuple[int, ...]", field(default_factory=list))]),
            "'x' of Unfit must be hashable",
        ),
        (unfit(fields=[("x", "list[int]")]), "write tuple[...] or frozenset[...] instead of list"),
        (unfit(fields=[("x", "tuple[dict[str, int], ...]")]), "instead of dict"),
        (unfit(fields=[("x", "harness.Component")]), "name a kind of component, such as harness.Loss"),
        (
            unfit(fields=[("x", "Missing")]),
            "cannot resolve the type of parameter 'x' of Unfit, Missing: name 'Missing' is not",
        ),
    ],
)
def test_what_may_not_be_registered(component: Any, reason: str) -> None:
    with pytest.raises(TypeError) as error:
        catalog.vet("student", component)
    assert reason in str(error.value)


def test_a_component_in_the_wrong_hook_is_sent_to_the_right_one() -> None:
    with pytest.raises(
        TypeError, match=r"does not derive from harness.Loss; register it in register_students"
    ):
        catalog.vet("loss", _Decorated)


# -- building -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mlp(harness.Student):
    """A student."""

    name = "mlp"
    note: ClassVar[Unreadable] = None  # type: ignore[name-defined] # noqa: F821
    vocabulary: Annotated[int, harness.Gt(0)]
    width: Annotated[int, harness.Gt(0)] = 16
    rate: Annotated[float, harness.Interval(gt=0, le=1)] = 1
    mode: Literal["mean", "max"] = "mean"
    sizes: Annotated[tuple[Annotated[int, harness.Ge(1)], ...], harness.MinLen(1)] = (1,)
    pair: tuple[int, str] = (1, "a")
    path: Path = Path("here")
    limit: Annotated[float, harness.Ge(0)] | None = None
    either: int | Literal["auto"] = "auto"
    flag: bool = False
    tags: frozenset[str] = frozenset()
    even: Annotated[int, AfterValidator(lambda value: _even(value))] = 2
    derived: int = field(default=0, init=False)


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("Must be even")
    return value


SHARP = Kl(1.0)


@dataclass(frozen=True)
class Weighted(Sum):
    """A sum, with parts that need not be given."""

    spare: harness.Loss | None = None
    sharp: Kl = SHARP


FOUND = Catalog(
    {
        (c.kind, c.name): Entry(c.kind, c.name, c, "test", "test", "1", __file__, 1)
        for c in (Mlp, Kl, Weighted)
    }
)


def student(**parameters: Any) -> Any:
    return FOUND.build("student", {"use": "mlp", "vocabulary": 9, **parameters})


def problems(kind: str, **table: Any) -> list[tuple[str, str]]:
    with pytest.raises(ParameterErrors) as error:
        FOUND.build(kind, table)
    assert pickle.loads(pickle.dumps(error.value)).problems == error.value.problems
    return [(spell(where), message) for where, message in error.value.problems]


@pytest.mark.parametrize(
    ("name", "given", "got"),
    [
        ("rate", 1, 1.0),
        ("limit", 3, 3.0),
        ("sizes", [1, 2], (1, 2)),
        ("pair", [2, "b"], (2, "b")),
        ("path", "a/b", Path("a/b")),
        ("either", 3, 3),
        ("either", "auto", "auto"),
        ("mode", "max", "max"),
        ("tags", ["b", "a", "b"], frozenset("ab")),
        ("flag", True, True),
        ("even", 4, 4),
    ],
)
def test_values_take_the_type_of_their_parameter(name: str, given: Any, got: Any) -> None:
    built = student(**{name: given})
    value = getattr(built, name)
    assert (value, type(value)) == (got, type(got))
    assert hash(built) == hash(student(**{name: given}))
    assert pickle.loads(pickle.dumps(built)) == built


def test_a_default_is_the_same_parameter_as_its_value_given() -> None:
    assert repr(student()) == repr(student(rate=1.0)) == repr(student(rate=1))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("width", "wide", "must be an integer greater than 0, got 'wide'"),
        ("width", "16", "must be an integer greater than 0, got '16'"),
        ("width", 0, "must be an integer greater than 0, got 0"),
        ("width", 1.0, "must be an integer greater than 0, got 1.0"),
        ("width", True, "must be an integer greater than 0, got true"),
        ("rate", "1", "must be a number greater than 0 and at most 1, got '1'"),
        ("rate", False, "must be a number greater than 0 and at most 1, got false"),
        ("rate", 2, "must be a number greater than 0 and at most 1, got 2"),
        ("rate", float("inf"), "must be a finite number, got inf"),
        ("rate", float("nan"), "must be a finite number, got nan"),
        ("mode", "maxx", "must be 'mean' or 'max', got 'maxx'; did you mean 'max'?"),
        ("mode", 1, "must be 'mean' or 'max', got 1"),
        ("sizes", 1, "must be a list of one or more items, each an integer at least 1, got 1"),
        ("sizes", [], "must be a list of one or more items, each an integer at least 1, got []"),
        ("sizes", "12", "must be a list of one or more items, each an integer at least 1, got '12'"),
        ("pair", [1], "must be a list of 2 items: an integer, then a string, got [1]"),
        ("pair", [1, "a", 2], "must be a list of 2 items: an integer, then a string, got [1, 'a', 2]"),
        ("path", 3, "must be a path, got 3"),
        ("limit", -1, "must be a number at least 0, got -1"),
        ("either", "all", "must be an integer or 'auto', got 'all'"),
        ("either", 1.5, "must be an integer or 'auto', got 1.5"),
        ("flag", 1, "must be true or false, got 1"),
        ("flag", "true", "must be true or false, got 'true'"),
        ("even", 3, "must be even, got 3"),
        ("tags", [1], None),
        ("width", "x" * 99, f"must be an integer greater than 0, got '{'x' * 56}..."),
    ],
)
def test_wrong_values(name: str, given: Any, message: str | None) -> None:
    ((where, said),) = problems("student", use="mlp", vocabulary=1, **{name: given})
    if message is None:
        assert (where, said) == ("tags[0]", "parameter 'tags[0]' of student 'mlp' must be a string, got 1")
    else:
        assert (where, said) == (name, f"parameter '{name}' of student 'mlp' {message}")


def test_all_mistakes_are_reported_at_once() -> None:
    assert problems("student", use="mlp", widht=3, rate=0, sizes=[1, 0, "x"], derived=1) == [
        (
            "widht",
            "parameter 'widht' of student 'mlp' is unknown; did you mean 'width'? "
            "(allowed: either, even, flag, limit, mode, pair, path, rate, sizes, tags, vocabulary, width)",
        ),
        (
            "derived",
            "parameter 'derived' of student 'mlp' is unknown (allowed: either, even, flag, "
            "limit, mode, pair, path, rate, sizes, tags, vocabulary, width)",
        ),
        ("vocabulary", "student 'mlp' needs the parameter 'vocabulary', an integer greater than 0"),
        ("rate", "parameter 'rate' of student 'mlp' must be a number greater than 0 and at most 1, got 0"),
        ("sizes[1]", "parameter 'sizes[1]' of student 'mlp' must be an integer at least 1, got 0"),
        ("sizes[2]", "parameter 'sizes[2]' of student 'mlp' must be an integer at least 1, got 'x'"),
    ]


def test_nested_components_are_built() -> None:
    table = {
        "use": "weighted",
        "of": [{"use": "kl"}, {"use": "weighted", "of": [{"use": "kl", "temperature": 1}]}],
    }
    built = FOUND.build("loss", {**table, "weights": [1, 2], "spare": {"use": "kl"}, "sharp": {"use": "kl"}})
    inner = Weighted((Kl(1.0),))
    assert built == Weighted((Kl(), inner), (1.0, 2.0), Kl(), Kl())
    assert FOUND.build("loss", {"use": "weighted", "of": (Kl(), inner)}) == Weighted((Kl(), inner))


def test_mistakes_in_nested_components_have_their_path() -> None:
    of = [{"use": "kl", "temperature": 0}, {"use": "weighted", "of": [{"use": "kll"}]}, "kl", {}, {"use": 3}]
    written = 'a loss written { use = "..." }'
    assert problems(
        "loss", use="weighted", of=of, spare=3, sharp={"use": "weighted", "of": [{"use": "kl"}]}
    ) == [
        ("of[0].temperature", "parameter 'temperature' of loss 'kl' must be a number greater than 0, got 0"),
        ("of[1].of[0].use", "unknown loss 'kll'; did you mean 'kl'? (allowed: kl, weighted)"),
        ("of[2]", f"parameter 'of[2]' of loss 'weighted' must be {written}, got 'kl'"),
        ("of[3]", "a loss needs `use`, its name (allowed: kl, weighted)"),
        ("of[4].use", "`use` must be the name of a loss, got 3 (allowed: kl, weighted)"),
        ("spare", f"parameter 'spare' of loss 'weighted' must be {written}, got 3"),
        (
            "sharp",
            "parameter 'sharp' of loss 'weighted' must be a loss of the type Kl written { use = \"...\" }, "
            "got { use = 'weighted', of = [{ use = 'kl' }] }",
        ),
    ]


def test_contradicting_fields_are_a_mistake_of_the_table() -> None:
    table = {"use": "weighted", "of": [{"use": "kl"}], "weights": [1, 2]}
    assert problems("loss", **table) == [("", "`weights` needs 1 numbers, got 2")]
    assert problems("loss", use="weighted", of=[table]) == [("of[0]", "`weights` needs 1 numbers, got 2")]


def test_a_wrong_default_is_called_so() -> None:
    component: Any = unfit(fields=[("x", "int", "three")])
    broken = Catalog({("student", "unfit"): Entry("student", "unfit", component, "p", "p", "1", "", 0)})
    with pytest.raises(
        ParameterErrors, match="the default of parameter 'x' of student 'unfit' must be an integer"
    ):
        broken.build("student", {"use": "unfit"})


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("Student", "task_types = None", "student 'odd' has task_types none; expected a set of names"),
        ("Student", "learns_from = {1, 2}", "expected a set of names"),
        ("Loss", "needs = 'logits'", "loss 'odd' has needs 'logits'; expected a set of names"),
        ("Student", "task_types = property(lambda self: 1 / 0)", "student 'odd' raised ZeroDivisionError"),
        ("Student", "extra: object = print", "student 'odd' has a parameter that cannot be written as JSON"),
        ("Student", "def check(self): raise SystemExit(3)", "student 'odd' raised SystemExit: 3"),
    ],
)
def test_a_component_that_no_plan_can_use_is_a_mistake(
    install: Install, kind: str, body: str, message: str
) -> None:
    install("odd-plugin", it=plugin("odd", kind, body))
    found = load()
    with pytest.raises(ParameterErrors) as error:
        found.build(kind.lower(), {"use": "odd"})
    assert message in str(error.value)


def test_what_a_component_changes_when_it_is_built_is_undone(install: Install) -> None:
    body = "def check(self):\n        import os\n        os.chdir('/')"
    install("odd-plugin", it=plugin("odd", "Student", body))
    here = Path.cwd()
    load().build("student", {"use": "odd"})
    assert Path.cwd() == here


def test_an_unknown_name_has_its_nearest_match() -> None:
    with pytest.raises(harness.HarnessError) as error:
        FOUND.get("student", "mpl")
    assert str(error.value) == "unknown student 'mpl'; did you mean 'mlp'? (allowed: mlp)"
    with pytest.raises(harness.HarnessError, match=r"unknown student 'kl' \(allowed: mlp\); 'kl' is a loss"):
        FOUND.get("student", "kl")
    with pytest.raises(harness.HarnessError, match=r"unknown task 'x' \(allowed: none\)"):
        FOUND.get("task", "x")
    failed = Catalog({}, (catalog.Failure("spacy", "p", "r", ""),))
    with pytest.raises(
        harness.HarnessError, match=r"not all plugins could be loaded \(spacy\): see `harness plugins`"
    ):
        failed.get("task", "x")


def test_a_component_of_no_plugin_has_no_entry() -> None:
    with pytest.raises(harness.HarnessError, match="_Decorated is not registered by any plugin"):
        FOUND.entry_of(_Decorated())


def test_parameters_in_words() -> None:
    shown_parameters = {p.name: (p.type, p.default) for p in FOUND.get("student", "mlp").parameters()}
    assert shown_parameters["vocabulary"] == ("integer greater than 0", None)
    assert shown_parameters["limit"] == ("number at least 0", "none")
    assert shown_parameters["pair"] == ("list of 2 items: an integer, then a string", "[1, 'a']")
    assert "derived" not in shown_parameters
    weighted = {p.name: p.default for p in FOUND.get("loss", "weighted").parameters()}
    assert weighted["sharp"] == "{ use = 'kl', temperature = 1.0 }"


def test_words() -> None:
    assert describe(Annotated[str, harness.MinLen(1)]) == "a string of one or more characters"
    assert describe(tuple[str, ...] | None) == "a list of items, each a string"
    assert describe(complex) == "a value of the type complex"
    assert shown(frozenset({"b", "a"})) == "['a', 'b']"


def test_a_type_has_the_baselines_of_the_types_that_it_fits() -> None:
    @dataclass(frozen=True)
    class Ordered(Classification):
        """Classes with an order."""

        name = "ordered"
        fits = frozenset({"classification"})

    TaskType.known.pop("ordered")
    found = catalog.load()
    assert found.baselines(Ordered()) == found.baselines(Classification()) == ["cross-entropy"]
    assert found.baselines(found.task_type("multi-label")) == ["binary-cross-entropy"]
