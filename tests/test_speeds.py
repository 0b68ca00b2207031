"""How fast a machine computes in each precision, and which one is taken."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from harness import catalog, speeds
from harness.devices import Slot
from harness.suite import reader as suite
from harness.suite.reader import Suite

CPU, GPU = (Slot("cpu"),), (Slot("cuda:0"), Slot("cpu"))


def of(teacher: str, precision: str = "auto") -> Suite:
    """A suite with one teacher."""
    text = f"""
        [suite]
        name = "small"
        precision = "{precision}"

        [[task]]
        use = "wnut17"

        [[teacher]]
        use = "{teacher}"
    """
    found = catalog.load()
    return suite.parse(dedent(text), found)


Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """Make up a CPU, by its flags, and what is measured on it; each call forgets what was measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def make(gain: float | None = 2.0, flags: tuple[str, ...] = ("avx512_bf16",)) -> None:
        monkeypatch.setattr(speeds, "cpu_info", lambda: ("a cpu", frozenset(flags)))
        rates = {"fp32": 1e11, "bf16": 1e11 * (gain or 0)}
        told = json.dumps({"train": rates, "label": rates}) if gain else "no torch"
        monkeypatch.setattr(subprocess, "run", lambda command, **_: Path(command[-1]).write_text(told))
        speeds.here.cache_clear()

    yield make
    monkeypatch.undo()
    speeds.here.cache_clear()


@pytest.mark.parametrize(
    ("gain", "precision"), [(0.6, "fp32"), (1.05, "fp32"), (1.2, "bf16"), (None, "fp32")]
)
def test_the_faster_precision_is_taken(machine: Machine, gain: float | None, precision: str) -> None:
    machine(gain)
    found = speeds.choose(of("minilm"), CPU)
    assert found.precision == precision
    assert str(found) == (
        f"{precision}, as bf16 trains {gain:.1f} times as fast as fp32 on this CPU"
        if gain
        else "fp32, as the speed of bf16 could not be measured"
    )


def test_nothing_is_measured_without_need(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(None, flags=("avx2",))

    def run(*_: Any, **__: Any) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(subprocess, "run", run)
    assert str(speeds.choose(of("minilm"), CPU)) == "fp32, as the CPU has no bf16"
    machine(None)
    monkeypatch.setattr(subprocess, "run", run)
    assert str(speeds.choose(of("minilm", "bf16"), CPU)) == "bf16, as the suite sets it"
    assert str(speeds.choose(of("bilstm-crf"), CPU)) == "fp32, as no component computes in bf16"
    assert str(speeds.choose(of("minilm"), GPU)) == "bf16, as GPUs do"
    monkeypatch.setattr(speeds, "gpus_have_bf16", lambda: False)
    assert str(speeds.choose(of("minilm"), GPU)) == "fp32, as a GPU has no bf16"


def test_a_machine_is_measured_once(machine: Machine, tmp_path: Path) -> None:
    machine(1.5)
    first = speeds.here()
    machine(3.0)
    assert speeds.here() == first  # of the cache
    (cache,) = tmp_path.glob("*/speeds.json")
    cache.write_text("torn")
    machine(3.0)
    again = speeds.here()
    assert again is not None and again.gain() == 3.0


def test_a_real_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    speeds.here.cache_clear()
    try:
        found = speeds.here()
    finally:
        speeds.here.cache_clear()
    assert found is not None
    assert found.train.keys() == found.label.keys() >= {"fp32"}
    assert all(1e8 < rate < 1e14 for rate in (*found.train.values(), *found.label.values()))
    assert list(tmp_path.glob("*/speeds.json"))


def test_waiting_for_a_core_does_not_count() -> None:
    assert speeds._fastest(lambda: time.sleep(0.05)) < 0.05
