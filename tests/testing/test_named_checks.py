"""Checks have names, run one by one, share what is slow to make, and are cases of pytest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sound import SOUND, BagStudent, Gold, LetterStudent, LetterTeacher, Shout, Sky, Squares, fits, variant

import harness
from harness.api import Context, Examples
from harness.catalog import Catalog, Entry
from harness.testing import Check, check_basics, checks_of, parametrize_with_checks
from harness.testing.rules import type_of, types_of

pytestmark = pytest.mark.usefixtures("one_thread")


# -- the five lines that a plugin's tests need --------------------------------------------------------


@parametrize_with_checks([LetterStudent(), LetterTeacher(), Shout(), Squares(), Gold(), Sky()])
def test_sound_components(check: Check) -> None:
    check()


# -- names --------------------------------------------------------------------------------------------


def names_of(component: Any, **options: Any) -> list[str]:
    return [check.name for check in checks_of(component, **options)]


def test_names_stay_the_same() -> None:
    assert names_of(LetterTeacher()) == [
        "basics",
        "speed",
        "base",
        "gives",
        "fits classification",
        "predicts texts in any order (classification)",
        "predicts a text alone as among others (classification)",
        "same seed, same bits (classification)",
        "counts parameters (classification)",
        "saves and loads (classification)",
        "fits classification with 2 classes",
    ]
    assert names_of(Gold()) == [
        "basics",
        "needs",
        "learns from a batch (classification)",
        "takes a batch of 1 (classification)",
        "is finite for logits of 10,000 (classification)",
        "takes rows with weights (classification)",
        "takes rows without gold labels (classification)",
    ]
    assert names_of(Sky())[1:] == [
        "resolves",
        "reads all splits",
        "has tables of its type",
        "reads the same every time",
    ]


def test_what_a_component_can_do_adds_checks() -> None:
    assert "exports (classification)" in names_of(BagStudent())
    learns = frozenset({"labels", "logits", "hidden", "layers"})
    deep = variant(LetterStudent, "Deeper", learns_from=learns, aligned=lambda self, teacher: True)
    found = names_of(deep, teacher=variant(LetterTeacher, "Wide", gives=learns - {"labels"}))
    assert {"learns from hidden states (classification)", "learns from layers (classification)"} <= set(found)
    assert "learns from layers (classification)" not in names_of(deep)


def test_each_is_checked_with_every_type_that_accepts_it() -> None:
    many = variant(Shout, "Many", task_types=frozenset({"tagging", "regression", "elsewhere"}))
    names = [task_type.name for task_type in types_of(many)]
    assert names == ["regression", "tagging"]
    assert [name for name in names_of(many) if name.startswith("draws")] == [
        "draws (regression)",
        "draws (tagging)",
    ]


def test_names_are_unique() -> None:
    for component in SOUND:
        names = names_of(component)
        assert len(names) == len(set(names))


# -- running ------------------------------------------------------------------------------------------


def counting() -> tuple[Any, list[str]]:
    fitted: list[str] = []

    def count(transfer: Examples, context: Context) -> None:
        fitted.append(f"{len(transfer.classes)} {'labels' if transfer.logits is None else 'logits'}")

    return variant(LetterStudent, "Counted", fit=fits(count)), fitted


def test_one_check_fits_what_it_needs() -> None:
    student, fitted = counting()
    checks = {check.name: check for check in checks_of(student)}
    assert fitted == []
    checks["basics"]()
    checks["speed"]()
    assert fitted == []
    checks["saves and loads (classification)"]()
    assert fitted == ["3 logits"]
    checks["predicts texts in any order (classification)"]()
    assert fitted == ["3 logits"]
    checks["same seed, same bits (classification)"]()
    assert fitted == ["3 logits", "3 logits"]
    checks["learns from labels (classification)"]()
    assert fitted[2:] == ["3 labels"]


def test_all_of_them_fit_once_for_each_use() -> None:
    student, fitted = counting()
    for check in checks_of(student):
        check()
    assert fitted == ["3 logits", "3 logits", "2 logits", "3 labels"]


def test_what_could_not_be_fitted_is_not_tried_again() -> None:
    tries: list[int] = []

    def gone(transfer: Examples, context: Context) -> None:
        tries.append(1)
        raise harness.Unavailable("no network")

    checks = list(checks_of(variant(LetterStudent, "Away", fit=fits(gone))))
    for check in checks:
        if check.name.startswith(("fits classification", "saves", "predicts")):
            with pytest.raises(harness.Unavailable, match="no network"):
                check()
    assert len(tries) == 2  # with three classes and with two


def test_a_check_shows_its_component_and_folders_go_with_it() -> None:
    checks = list(checks_of(LetterStudent()))
    (saves,) = [check for check in checks if check.name.startswith("saves")]
    assert str(saves) == "letters: saves and loads (classification)"
    saves()
    folder = saves.shared.folder("saved")
    assert folder.is_dir()
    del checks, saves
    import gc

    gc.collect()
    assert not folder.exists()


# -- types of task ------------------------------------------------------------------------------------


def test_task_types_must_have_a_known_one() -> None:
    lost = variant(Shout, "Lost", task_types=frozenset({"clasification"}))
    rule = "task_types must have a known type of task, got clasification.*'classification'"
    with pytest.raises(AssertionError, match=rule):
        check_basics(lost)
    check_basics(variant(Shout, "Found", task_types=frozenset({"clasification", "tagging"})))
    with pytest.raises(AssertionError, match="got nothing"):
        check_basics(variant(Shout, "Aimless", task_types=frozenset()))


def test_a_tasks_type_must_be_known() -> None:
    with pytest.raises(AssertionError, match=r"its task type must be known, but: .*'taging'.*'tagging'"):
        check_basics(variant(Sky, "Lost", task_type="taging"))
    entry = Entry("task", "sky", Sky, "mine", "mine", "1.0", __file__, 1)
    lost = variant(Sky, "Lost", task_type="taging")
    with pytest.raises(AssertionError, match=r"its task type must be known, but: .*'taging'"):
        check_basics(lost, Catalog({("task", "sky"): entry}))
    assert type_of(variant(Sky, "Positive", positive="wet")).positive == "wet"  # type: ignore[attr-defined]


# -- with pytest --------------------------------------------------------------------------------------


def ids_of(components: Sequence[harness.api.Component], **options: Any) -> list[str]:
    decorator = parametrize_with_checks(components, **options)
    return [case.id for case in decorator.args[1]]


@dataclass(frozen=True)
class Loud(Shout):
    """Loud in its own way."""

    name = "loud"

    times: int = 1


def test_ids_tell_components_apart() -> None:
    assert ids_of([Shout()])[:2] == ["shout: basics", "shout: makes texts of rows"]
    both = ids_of([Loud(times=1), Loud(times=2)])
    assert "loud(times=1): basics" in both and "loud(times=2): basics" in both
    kinds = ids_of([LetterStudent(), LetterTeacher()])
    assert "student letters: basics" in kinds and "teacher letters: basics" in kinds
    assert len(kinds) == len(set(kinds))


def test_a_catalog_adds_the_check_of_imports() -> None:
    entry = Entry("loss", "squares", Squares, "mine", "mine", "1.0", __file__, 1)
    found = ids_of([Squares()], catalog=Catalog({("loss", "squares"): entry}))
    assert found[:2] == ["squares: basics", "squares: imports"]


PLUGIN = '''
from dataclasses import dataclass

import pytest
import harness
from harness.testing import parametrize_with_checks


@dataclass(frozen=True)
class Absent(harness.Teacher):
    """It is not here."""

    name = "absent"

    def fit(self, train, validation, context):
        raise harness.Unavailable("no network")


@dataclass(frozen=True)
class Wrong(harness.Augmenter):
    """It is wrong."""

    name = "wrong"

    def __call__(self, texts, generator):
        yield len(texts), "x"


@parametrize_with_checks([Absent(), Wrong()])
def test_components(check):
    check()
'''


def test_a_plugins_tests(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "test_plugin.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:xdist", "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, "test_plugin.py"], cwd=tmp_path, capture_output=True, text=True)
    assert "PASSED test_plugin.py::test_components[absent: basics]" in done.stdout, done.stdout
    assert "no network" in done.stdout and "SKIPPED" in done.stdout
    assert "FAILED test_plugin.py::test_components[wrong: makes texts of rows]" in done.stdout
    assert "rows must be those of a list of texts" in done.stdout


def test_models_are_forgotten_after_the_last_check_of_a_component() -> None:
    student, fitted = counting()
    *_, case = parametrize_with_checks([student]).args[1]
    (check,) = case.values
    check()
    check()  # forgets what it made, and makes it again
    assert fitted == ["3 labels", "3 labels"]
