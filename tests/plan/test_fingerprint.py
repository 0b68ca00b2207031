"""Which code a digest covers, over packages that a test writes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from harness import catalog
from harness.plan import fingerprint
from harness.plan.fingerprint import class_digest, code_digest
from harness.plan.planner import STEP_KINDS, build
from harness.suite import reader as suite
from harness.values import digest

Write = Callable[..., None]

SOURCES = {
    "__init__": '"""A package."""\nfrom fp_kit.main import Main\nSETTING = 1\n',
    "main": """
        from typing import TYPE_CHECKING

        import os
        import fp_kit.direct
        from fp_kit import sibling
        from . import near
        from .deep.inner import thing
        from fp_other import far

        if TYPE_CHECKING:
            from fp_kit import typed
        else:
            from fp_kit import untyped


        class Main:
            def work(self):
                from fp_kit.late import helper
                return helper
    """,
    "direct": "X = 1",
    "sibling": "X = 1",
    "near": "from fp_kit import nested",
    "nested": "X = 1",
    "typed": "X = 1",
    "untyped": "X = 1",
    "late": "def helper():\n    return 1",
    "lonely": "X = 1",
    "deep/__init__": "X = 1",
    "deep/inner": "from ..sibling import X as thing",
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules of the package fp_kit, or of another, and forget what was read of them."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(package: str = "fp_kit", **sources: str) -> None:
        for name, source in sources.items():
            path = tmp_path / package / f"{name.replace('__in', '/').strip('/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source))
        for function in (fingerprint.code_digest, fingerprint._source_of, fingerprint._read):
            function.cache_clear()

    for name, source in SOURCES.items():
        path = tmp_path / "fp_kit" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
    write("fp_other", far="X = 1")
    yield write
    for name in [name for name in sys.modules if name.startswith("fp_")]:
        del sys.modules[name]


def of_main() -> str:
    return code_digest(("fp_kit.main",))


@pytest.mark.parametrize("name", ["direct", "sibling", "near", "nested", "untyped", "late", "main"])
def test_code_that_a_module_imports_counts(write: Write, name: str) -> None:
    before = of_main()
    write(**{name: dedent(SOURCES[name]) + "\nY = 2\n"})
    assert of_main() != before


def test_relative_imports_of_packages_count(write: Write, tmp_path: Path) -> None:
    before = of_main()
    path = tmp_path / "fp_kit" / "deep" / "inner.py"
    path.write_text("thing = 3\n")
    write()
    assert of_main() != before


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("typed", "X = 2"),  # imported for type checkers alone
        ("lonely", "X = 2"),  # imported by nobody
        ("sibling", '"""Words."""\n# more words\nX  =  1  # and more\n'),
        ("late", 'def helper():\n    """Help."""\n    return (1)\n'),
    ],
)
def test_what_cannot_change_a_result_does_not_count(write: Write, name: str, source: str) -> None:
    before = of_main()
    write(**{name: source})
    assert of_main() == before


def test_other_packages_do_not_count(write: Write) -> None:
    before = of_main()
    write("fp_other", far="X = 2")
    assert of_main() == before


def test_a_package_counts_where_something_is_taken_from_it(write: Write, tmp_path: Path) -> None:
    init = tmp_path / "fp_kit" / "__init__.py"
    write(
        main="from fp_kit.sibling import X", direct="from fp_kit import SETTING", near="import fp_kit.sibling"
    )
    modules = (("fp_kit.main",), ("fp_kit.direct",), ("fp_kit.near",))
    before = [code_digest(names) for names in modules]
    init.write_text("SETTING = 2\n")
    write()
    after = [code_digest(names) for names in modules]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False]


def test_a_docstring_of_a_class_does_not_count_and_a_plain_string_does(write: Write) -> None:
    write(main='class A:\n    """One."""\n    x = 1\n')
    before = of_main()
    write(main='class A:\n    """Two."""\n    x = 1\n')
    assert of_main() == before
    write(main='class A:\n    x = 1\n    """Two."""\n')
    assert of_main() != before


def test_code_that_cannot_be_parsed_counts_by_its_bytes(write: Write) -> None:
    write(sibling="match = = 1")
    before = of_main()
    write(sibling="match = = 2")
    assert of_main() != before
    write(sibling="match = = 1")
    assert of_main() == before


def test_a_new_name_for_the_same_code_counts(write: Write) -> None:
    write(main="from fp_kit import sibling")
    before = of_main()
    write(main="from fp_kit import sibling as other")
    assert of_main() != before


def test_modules_without_source_are_passed_over(write: Write) -> None:
    assert code_digest(("sys",)) == code_digest(("no_such_module_at_all",)) == code_digest(())
    write(main="import fp_kit.missing, fp_kit.sibling\nfrom fp_kit.absent import x")
    assert of_main() != code_digest(())


def test_a_loaded_module_without_a_spec_is_passed_over(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("fp_made")
    monkeypatch.setitem(sys.modules, "fp_made", module)
    assert code_digest(("fp_made",)) == code_digest(())


def test_a_component_depends_on_those_it_derives_from(write: Write) -> None:
    write(
        "fp_base",
        helper="X = 1",
        base="import harness\nfrom fp_base.helper import X\n\nclass Base(harness.Student):\n    pass\n",
    )
    write("fp_mixins", behind="X = 1", mixin="from fp_mixins import behind\n\nclass Mixin:\n    pass\n")
    source = """
        from fp_base.base import Base
        from fp_mixins.mixin import Mixin

        class Main(Mixin, Base):
            name = 'main'
    """
    write(__init__="", main=source)
    cls = import_module("fp_kit.main").Main
    before = class_digest(cls)
    write("fp_mixins", behind="X = 2")
    assert class_digest(cls) == before  # of a mixin from elsewhere, its own module alone
    write("fp_mixins", mixin="class Mixin:\n    x = 1\n")
    mixed = class_digest(cls)
    assert mixed != before
    write("fp_base", helper="X = 2")
    assert class_digest(cls) != mixed


def test_a_component_depends_on_what_it_takes_from_another_plugin(write: Write) -> None:
    assert {
        "harness_teachers",
        "harness_transformers",
    } <= fingerprint._plugins()  # whose helpers students use
    source = """
        import harness
        from fp_other.far import X

        class Main(harness.Student):
            name = 'main'
    """
    write(__init__="", main=source)
    cls = import_module("fp_kit.main").Main
    before = class_digest(cls)
    write("fp_other", far="X = 2")
    assert class_digest(cls) == before  # a library
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "_plugins", lambda: frozenset({"fp_other"}))
        before = class_digest(cls)
        write("fp_other", far="X = 3")
        assert class_digest(cls) != before


def test_a_distribution_that_cannot_be_read_stops_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged-1.dist-info"
    damaged.mkdir()
    (damaged / "entry_points.txt").write_bytes(b"[harness]\nodd = \xff\xfe\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    fingerprint._plugins.cache_clear()
    assert "harness_students" in fingerprint._plugins()


def test_digests_do_not_run_their_parts_together() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("a", "") != digest("a")
    assert digest("a", "b") == digest("a", "b")
    assert len(digest("x")) == 32


def test_every_python_spells_code_alike() -> None:
    """What newer ones add to a tree, such as the parameters of generic functions, is empty in older code."""
    tree = ast.parse("def f(x, *, y=None):\n    return [x, ()][0] if y else 'a'")
    assert fingerprint._spelled(tree) == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='x')],kwonlyargs=[arg(arg='y')],"
        "kw_defaults=[Constant(value=None)]),body=[Return(value=IfExp(test=Name(id='y',ctx=Load()),"
        "body=Subscript(value=List(elts=[Name(id='x',ctx=Load()),Tuple(ctx=Load())],ctx=Load()),"
        "slice=Constant(value=0),ctx=Load()),orelse=Constant(value='a')))])])"
    )


# -- the code of task types ------------------------------------------------------------------------------

SUITE = """
    [suite]
    name = "both"

    [[task]]
    use = "emotion"

    [[task]]
    use = "wnut17"

    [[teacher]]
    use = "minilm"

    [[student]]
    use = "{student}"

    [[augmenter]]
    use = "mask"

    [[loss]]
    use = "kl"
"""


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that lets a module seem edited."""
    plain = fingerprint._read

    def forget() -> None:
        for function in (fingerprint.code_digest, plain):
            function.cache_clear()

    def edit(module: str) -> None:
        def read(path: Path, name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
            found, imports = plain(path, name)
            return (f"{found} edited" if name == module else found), imports

        monkeypatch.setattr(fingerprint, "_read", read)
        forget()

    yield edit
    monkeypatch.undo()
    forget()


def keys_of(task: str, students: Sequence[str]) -> dict[str, set[str]]:
    """Return the keys of all steps for a task, by kind."""
    found = catalog.load()
    keys: dict[str, set[str]] = {}
    for student in students:
        plan = build(suite.parse(dedent(SUITE.format(student=student)), found), found)
        for cell in plan.cells:
            if cell.task.name == task and cell.status == "ok":
                for key in cell.steps.values():
                    keys.setdefault(plan.steps[key].kind, set()).add(key)
    assert set(keys) == set(STEP_KINDS)
    return keys


@pytest.mark.parametrize(
    ("module", "changed", "kept"),
    [
        ("harness.task_types.tagging", "wnut17", "emotion"),
        ("harness.task_types.entities", "wnut17", "emotion"),
    ],
)
def test_an_edit_of_a_task_type_costs_its_own_steps_alone(
    module: str, changed: str, kept: str, edited: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    students = {"emotion": ("mlp", "tfidf-logreg"), "wnut17": ("bilstm-tagger",)}
    before = {task: keys_of(task, students[task]) for task in (changed, kept)}
    edited(module)
    after = {task: keys_of(task, students[task]) for task in (changed, kept)}
    assert after[kept] == before[kept]
    for kind in STEP_KINDS:
        assert before[changed][kind].isdisjoint(after[changed][kind]), kind
