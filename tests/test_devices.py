"""What there is to work with, on machines that a test makes up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import devices
from harness.devices import Slot, slots

CARDS = "GPU-aaaa-1, 81559, 9.0, NVIDIA H100\nGPU-bbbb-2, 23028, 8.6, NVIDIA A10\n"
CPU, A10 = Slot("cpu"), Slot("cuda:1")
H100 = [Slot("cuda:0")]

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """Make up a machine: what nvidia-smi says, which torch there is, what is visible, how many cores."""
    tool = tmp_path / "nvidia-smi"
    found = (devices._cards, devices.cpu_count, devices.cpu_info, devices.machine)

    def make(
        says: str = CARDS,
        status: int = 0,
        torch: str = "2.9.0+cu128",
        visible: str | None = None,
        cores: int = 8,
    ) -> None:
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{says}END\nexit {status}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        version = metadata.version
        monkeypatch.setattr(metadata, "version", lambda name: torch if name == "torch" else version(name))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
        for function in found:
            function.cache_clear()

    yield make
    monkeypatch.undo()
    for function in found:
        function.cache_clear()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ("NVIDIA H100", "NVIDIA A10")),
        ({"torch": "2.9.0+cpu"}, ()),  # torch could not use them
        ({"status": 9, "says": "NVIDIA-SMI has failed\n"}, ()),
        ({"says": ""}, ()),
        ({"says": "No devices were found\n"}, ()),
        ({"visible": "1"}, ("NVIDIA A10",)),
        ({"visible": "1, 0"}, ("NVIDIA A10", "NVIDIA H100")),
        ({"visible": ""}, ()),
        ({"visible": "-1"}, ()),
        ({"visible": "NoDevFiles"}, ()),
        ({"visible": "0,7,1"}, ("NVIDIA H100",)),  # as CUDA does: no further than the first that is not there
        ({"visible": "GPU-bbbb"}, ("NVIDIA A10",)),
        ({"visible": "GPU-cccc"}, ()),
    ],
)
def test_gpus_that_torch_could_use(machine: Machine, given: dict[str, Any], names: tuple[str, ...]) -> None:
    machine(**given)
    assert devices.gpus() == names


def test_without_the_tool_there_are_no_gpus(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine()
    monkeypatch.setenv("PATH", "")
    assert devices.gpus() == ()


def test_a_tool_that_hangs_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine()

    def hang(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert devices.gpus() == ()


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        ({"says": ""}, "auto", [CPU] * 8),
        ({"says": "", "cores": 1}, "auto", [CPU]),
        # As many steps at once as memory, cores and four allow; a core is left for each worker.
        ({}, "auto", H100 * 3 + [A10] + [CPU] * 4),
        ({"cores": 20}, "auto", H100 * 4 + [A10] + [CPU] * 15),
        ({"cores": 1}, "auto", [*H100, A10, CPU]),
        ({"says": "GPU-a, [N/A], 12.1, NVIDIA GB10\n"}, "auto", [*H100] + [CPU] * 7),
        ({}, "cpu", [CPU] * 8),
        ({}, "cpu:3", [CPU] * 3),
        ({}, "cuda", H100 * 3 + [A10, CPU]),
        ({}, "cuda:1", [A10, CPU]),
        ({}, "cuda:1,cuda:0*1", [A10, *H100, CPU]),
        ({}, "cuda:1, cuda:1", [A10, CPU]),
        ({}, "cuda:1*6", [A10] * 6 + [CPU]),
        ({}, "cuda * 2", H100 * 2 + [A10] * 2 + [CPU]),
        ({}, "cuda:1*2,cuda", [A10] * 2 + H100 * 3 + [CPU]),
    ],
)
def test_slots(machine: Machine, given: dict[str, Any], wanted: str, expected: list[Slot]) -> None:
    machine(**given)
    assert slots(wanted) == tuple(expected)


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "gpu",
        "cpus",
        "cpu:",
        "cpu:0",
        "cpu:-1",
        "cpu:x",
        "cpu:²",
        "cpu:99999",
        "mps",
        "CPU",
        "cuda:0,gpu",
        "cudax",
        "cuda*0",
        "cuda*",
        "cuda,",
    ],
)
def test_devices_that_there_are_not(machine: Machine, wanted: str) -> None:
    machine()
    expected = (
        f"--devices must be auto, cpu, cpu:<workers>, cuda or cuda:<index>,…, got {wanted!r}; "
        "add *<workers> to a GPU to set how many steps it runs at once"
    )
    with pytest.raises(harness.HarnessError) as error:
        slots(wanted)
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("wanted", "named"), [("cuda:2", "cuda:2"), ("cuda:0,cuda:x*2", "cuda:x"), ("cuda:00", "cuda:00")]
)
def test_a_card_that_there_is_not(machine: Machine, wanted: str, named: str) -> None:
    machine()
    with pytest.raises(harness.HarnessError) as error:
        slots(wanted)
    assert str(error.value) == (
        f"--devices names {named!r}, but this machine has 2 usable GPUs; allowed: auto, cpu, cuda:0, cuda:1"
    )


def test_cuda_without_a_card(machine: Machine) -> None:
    machine(says="")
    with pytest.raises(harness.HarnessError, match="names 'cuda:0', but this machine has 0 usable GPUs"):
        slots("cuda")


def test_a_slot_knows_whether_it_is_a_gpu() -> None:
    assert Slot("cuda:1").is_gpu
    assert not CPU.is_gpu
    assert CPU.threads == 1


def test_old_cards_do_not_compute_in_bf16(machine: Machine) -> None:
    machine()
    assert devices.gpus_have_bf16()
    machine(says=CARDS + "GPU-c, 16384, 7.5, Tesla T4\n")
    assert not devices.gpus_have_bf16()
    machine(says="GPU-a, 81559, [N/A], NVIDIA GB10\n")  # a new one
    assert devices.gpus_have_bf16()


CPUINFO = """processor\t: 0
model name\t: {name}
flags\t\t: fpu amx_bf16

processor\t: 1
model name\t: another
"""


def test_the_cpu_by_its_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(says="", cores=3)
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: CPUINFO.format(name="A Fast CPU"))
    assert devices.cpu_info() == ("A Fast CPU", frozenset({"fpu", "amx_bf16"}))
    assert devices.machine() == "A Fast CPU; 3 cores"


def test_a_machine_is_its_cards_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(cores=3)
    monkeypatch.setattr(devices, "cpu_info", lambda: ("A CPU", frozenset()))
    assert devices.machine() == "A CPU; 3 cores; NVIDIA H100; NVIDIA A10"


def test_where_there_is_no_list_of_cpus(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine()

    def absent(path: Path, encoding: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", absent)
    name, flags = devices.cpu_info()
    assert name
    assert flags == frozenset()


def test_cores_that_this_process_may_use(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(cores=5)
    assert devices.cpu_count() == 5
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    devices.cpu_count.cache_clear()
    assert devices.cpu_count() == 1


def counter(root: Path, zone: str, used: object, limit: int = 999) -> None:
    (root / zone).mkdir(exist_ok=True)
    (root / zone / "energy_uj").write_text(f"{used}\n")
    (root / zone / "max_energy_range_uj").write_text(f"{limit}\n")


def test_energy_is_that_of_all_packages(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", 100)
    counter(tmp_path, "intel-rapl:1", 990)
    counter(tmp_path, "intel-rapl:0:0", 5)  # a part of package 0
    before = devices.energy_uj(tmp_path)
    assert before == {"intel-rapl:0": (100, 999), "intel-rapl:1": (990, 999)}
    counter(tmp_path, "intel-rapl:0", 600)
    counter(tmp_path, "intel-rapl:1", 40)  # around: 10 to the end, 40 from the start
    after = devices.energy_uj(tmp_path)
    assert devices.energy_j(before, after) == pytest.approx((500 + 50) / 1e6)
    counter(tmp_path, "intel-rapl:1", "?")
    assert devices.energy_j(before, devices.energy_uj(tmp_path)) is None


def test_no_energy_is_invented(tmp_path: Path) -> None:
    assert devices.energy_uj(tmp_path / "absent") == {}
    assert devices.energy_j({}, {}) is None
