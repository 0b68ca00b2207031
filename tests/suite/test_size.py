"""The cells of a suite are counted before anything in it is expanded, and too many are refused."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest
from stand_ins import CATALOG, SMALL, mistakes

from harness.plan.matrix import combinations as cells_of
from harness.suite import reader as suite
from harness.suite.reader import SuiteError
from harness.suite.size import LARGEST, LIMIT, combinations, measure

MANY = {name: list(range(1, 1_001)) for name in "abcd"}


def swept(text: str, count: int) -> str:
    return f"{text} = {{ sweep = {list(range(1, count + 1))} }}"


def large(count: int) -> str:
    """A suite with that number of teachers, students, augmenters and losses."""
    return f"""
[suite]
seeds = {list(range(10))}
[[task]]
use = "emotion"
[[teacher]]
use = "minilm"
{swept("epochs", count)}
[[student]]
use = "mlp"
{swept("width", count)}
[[augmenter]]
use = "mask"
{swept("copies", count)}
[[loss]]
use = "kl"
{swept("temperature", count)}
"""


BIG = large(20)


def refused(text: str) -> str:
    """What is said of a suite that is refused at once, without a trace of its cells in memory."""
    mistakes("[suite]\n")  # what has to be imported is imported
    began = time.process_time()
    (said,) = mistakes(text)
    assert time.process_time() - began < 0.5
    tracemalloc.start()
    assert mistakes(text) == [said]
    assert tracemalloc.get_traced_memory()[1] < len(text) * 60 + 1_000_000
    tracemalloc.stop()
    return said


def test_a_suite_with_too_many_cells_is_refused_with_their_number() -> None:
    assert refused(BIG) == (
        "s.toml: the suite has up to 1,600,220 cells (1 task × 20 teachers × 20 students × 20 augmenters × "
        "20 losses × 10 seeds), and the limit is 20,000; shorten its sweeps or split it into several suites, "
        "or raise the limit of bench and plan with --limit"
    )


def test_sweeps_inside_sweeps_are_counted() -> None:
    inner = ", ".join(f"{{ use = 'kl', {swept('temperature', 50)} }}" for _ in range(3))
    text = SMALL.replace('use = "kl"', f"use = 'weighted'\nof = [{{ sweep = [{inner}] }}, {inner}]")
    assert "up to 18,750,002 cells" in refused(text) or "18,750,000 losses" in refused(text)


def test_numbers_without_end_are_not_written_out() -> None:
    text = SMALL + "\n".join(swept(f"p{number}", 10) for number in range(500))
    assert "more than 1,000,000,000,000,000 losses" in refused(text)


def test_an_empty_sweep_does_not_hide_the_others() -> None:
    text = SMALL + "\n".join(swept(f"p{number}", 1_000) for number in range(3)) + "\nq = { sweep = [] }"
    assert "1,000,000,000 losses" in refused(text)


def test_a_sweep_that_repeats_long_lists_is_refused() -> None:
    text = SMALL.replace('"mlp"', f'"mlp"\nkernels = [{swept("x", 5_000)[4:]}, {"1, " * 5_000}]')
    assert "the sweeps of the suite repeat" in refused(text)


def test_a_long_sweep_of_numbers_is_read() -> None:
    """Each component has one of the numbers, not all."""
    table = {"use": "mlp", "width": {"sweep": list(range(10_000))}}
    size = measure({"student": [table]}, {}, 10, 1)
    assert size.values == 20_000 and size.refusal(None) == ""


def test_the_limit_can_be_raised_and_lowered() -> None:
    text = SMALL + swept("temperature", 9)
    assert len(suite.parse(text, CATALOG, Path("s.toml"), limit=11).losses) == 9
    with pytest.raises(
        SuiteError, match=r"up to 11 cells \(1 task × 1 teacher × 1 student × 9 losses × 1 seed\)"
    ):
        suite.parse(text, CATALOG, Path("s.toml"), limit=10)
    assert suite.parse(BIG, CATALOG, Path("s.toml"), limit=None)  # for a caller that makes no cells


def test_the_committed_suites_need_no_flag() -> None:
    assert LIMIT >= 11_070


@pytest.mark.parametrize("text", [SMALL, large(3)])
def test_what_is_counted_is_what_is_planned(text: str) -> None:
    found = suite.parse(text, CATALOG, Path("s.toml"), limit=None)
    tables = {
        kind: [{}] * len(components)
        for kind, components in (
            ("task", found.tasks),
            ("teacher", found.teachers),
            ("student", found.students),
            ("augmenter", found.augmenters),
            ("loss", found.losses),
        )
    }
    assert measure(tables, {}, len(found.seeds), 1).cells == sum(1 for _ in cells_of(found))


def test_sweeps_are_counted_as_they_are_expanded() -> None:
    assert combinations({"a": MANY["a"], "b": {"sweep": [1, {"sweep": [2, 3]}, [{"sweep": [4, 5]}]]}}) == 5
    assert combinations({"a": {"sweep": []}, "b": {"sweep": [1, 2]}}) == 2


# -- files that are no suites --------------------------------------------------------------------------------


def loaded(path: Path) -> str:
    with pytest.raises(SuiteError) as error:
        suite.load(path, CATALOG)
    return str(error.value).removeprefix(f"{path}: cannot read the suite: ")


def test_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero")):
        assert loaded(path) == "it is a pipe, a socket or a device; write the suite to a file"
    assert loaded(tmp_path) == "is a directory"
    (loop := tmp_path / "loop.toml").symlink_to(loop)
    assert "symbolic links" in loaded(loop)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (path := tmp_path / "large.toml").open("wb") as file:
        file.truncate(100_000_000)
    assert loaded(path) == f"the file has more than {LARGEST:,} bytes; is it a suite?"


def test_integers_beyond_64_bits_are_no_traceback() -> None:
    for digits in (30, 5_000):
        (said,) = mistakes(SMALL + f"temperature = {'9' * digits}")
        assert said in (
            "s.toml:10: loss[0].temperature: expected an integer that fits into 64 bits",
            "s.toml: not valid TOML: an integer has thousands of digits",
        )
    (said,) = mistakes(SMALL + f"temperature = 0x{'f' * 9_000}")
    assert said.endswith("fits into 64 bits")


def test_many_mistakes_are_cut_off() -> None:
    said = mistakes(SMALL + "[[loss]]\nuse = 'kll'\n" * 300)
    assert len(said) == 101
    assert said[0] == "s.toml: there may be more mistakes than these"


def test_control_codes_in_a_suite_reach_no_terminal() -> None:
    (said,) = mistakes(SMALL.replace("kl", "\\u001b[31mkl\\u202e"))
    assert said.isprintable()


def test_the_baselines_own_loss_on_plain_texts_is_one_row() -> None:
    text = (
        SMALL + '[[loss]]\nuse = "cross-entropy"\n[[augmenter]]\nuse = "none"\n[[augmenter]]\nuse = "mask"\n'
    )
    rows = [cell for cell in cells_of(suite.parse(text, CATALOG, Path("s.toml"))) if cell.role == "baseline"]
    assert [cell.augmenter and cell.augmenter.name for cell in rows] == [None, "mask"]
    smoothed = text.replace('"cross-entropy"', '"cross-entropy"\nsmoothing = 0.1')
    rows = [
        cell for cell in cells_of(suite.parse(smoothed, CATALOG, Path("s.toml"))) if cell.role == "baseline"
    ]
    assert [cell.augmenter and cell.augmenter.name for cell in rows] == [None, "none", "mask"]
