"""Parts of a step on several cores."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.testing.tiny import CheckContext
from harness.training.cores import Cores


@pytest.fixture
def context(tmp_path: Path) -> CheckContext:
    return CheckContext(tmp_path)


def test_one_core_calls_them_in_order(context: CheckContext) -> None:
    called: list[int] = []

    def part(number: int) -> int:
        called.append(number)
        return number * number

    cores = Cores(context)
    assert cores.run([lambda n=n: part(n) for n in range(5)]) == [0, 1, 4, 9, 16]  # type: ignore[misc]
    assert called == [0, 1, 2, 3, 4]
    assert cores.run([]) == []
    cores.close()


def test_the_number_of_cores_may_change(context: CheckContext) -> None:
    cores = Cores(context)
    for wanted in (2, 3, 1, 2):
        context.cores = wanted
        together = threading.Barrier(wanted, timeout=20)

        def part(barrier: threading.Barrier = together) -> str:
            barrier.wait()  # returns only if all of them run at the same time
            return threading.current_thread().name

        names = cores.run([part] * wanted)
        assert len(set(names)) == wanted
    cores.close()


def test_an_error_of_a_part_is_raised_after_the_others_end(context: CheckContext) -> None:
    context.cores = 2
    ended = threading.Event()
    failing = threading.Event()

    def fails() -> None:
        failing.set()
        raise ValueError("this part")

    def goes_on() -> None:
        assert failing.wait(20)
        ended.set()

    cores = Cores(context)
    for parts in ([fails, goes_on], [goes_on, fails]):
        ended.clear(), failing.clear()
        with pytest.raises(ValueError, match="this part"):
            cores.run(parts)
        assert ended.is_set()
    cores.close()
