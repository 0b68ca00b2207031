"""The global state of a process: what is watched is found when it changes, and can be put back."""

from __future__ import annotations

import decimal
import gc
import locale
import logging
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harness.isolation import global_state
from harness.isolation.global_state import GlobalState, guarded, seed_generators


def fewer_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))


def hook_all() -> None:
    torch.nn.modules.module.register_module_forward_hook(lambda module, given, result: None)


CHANGES: dict[str, Callable[[], Any]] = {
    "the current folder (from": lambda: os.chdir("/"),
    "environment variable OMP_NUM_THREADS": lambda: os.environ.update(OMP_NUM_THREADS="9"),
    "environment variables A, B, C and 1 more": lambda: os.environ.update(dict.fromkeys("ABCD", "1")),
    "environment variable PATH": lambda: os.environ.pop("PATH"),
    "the recursion limit (from": lambda: sys.setrecursionlimit(5000),
    "Python's warnings filters": lambda: warnings.simplefilter("error"),
    "the locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "the precision of decimals (from 28 to 3)": lambda: setattr(decimal.getcontext(), "prec", 3),
    "the garbage collector": gc.disable,
    "the switch interval of threads (from": lambda: sys.setswitchinterval(1.0),
    "the handlers of signals": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "the hook of exceptions": lambda: setattr(sys, "excepthook", print),
    "the output streams": lambda: setattr(sys, "stdout", None),
    "the level of logging (from 0 to 50)": lambda: logging.disable(logging.CRITICAL),
    "the time-out of sockets": lambda: socket.setdefaulttimeout(1.0),
    "the mask of new files (from": lambda: os.umask(0o027),
    "tiny floats (from True to False)": lambda: torch.set_flush_denormal(True),
    "the CPUs of the process": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "the limits of resources": fewer_files,
    "NumPy's error state": lambda: np.seterr(all="raise"),
    "NumPy's print options": lambda: np.set_printoptions(precision=2),
    "torch's default dtype (from torch.float32 to torch.float64)": lambda: torch.set_default_dtype(
        torch.float64
    ),
    "torch's default device (from cpu to meta)": lambda: torch.set_default_device("meta"),
    "torch's number of threads (from": lambda: torch.set_num_threads(torch.get_num_threads() + 3),
    "torch's recording of gradients (from True to False)": lambda: torch.set_grad_enabled(False),
    "torch's search for anomalies (from False to True)": lambda: torch.autograd.set_detect_anomaly(True),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's precision of matrix products (from highest": lambda: torch.set_float32_matmul_precision("high"),
    "torch's autocast (from False to True)": lambda: torch.set_autocast_enabled("cpu", True),
    "torch's settings of cuDNN": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "hooks on all modules of torch": hook_all,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_found_and_undone(what: str) -> None:
    before = GlobalState.now()
    try:
        CHANGES[what]()
    except locale.Error:
        pytest.skip("this system has no such locale")
    found = before.changes()
    before.restore()
    if what == "the CPUs of the process" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("this machine has one CPU")
    assert any(one.startswith(what) for one in found), found
    assert before.changes() == []


def test_the_search_path_is_put_back_without_a_word() -> None:
    before, path = GlobalState.now(), list(sys.path)
    sys.path.insert(0, "/nowhere")  # as libraries do
    assert before.changes() == []
    before.restore()
    assert sys.path == path


ZONE = """
import os, time
from harness.isolation.global_state import GlobalState
before = GlobalState.now()
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()
before.restore()
print(before.changes())
"""


def test_what_cannot_be_undone_is_still_found() -> None:
    clock = {**os.environ, "TZ": "UTC"}
    done = subprocess.run([sys.executable, "-c", ZONE], capture_output=True, text=True, check=True, env=clock)
    assert done.stdout == "['the time zone']\n"


LATE = """
from harness.isolation.global_state import GlobalState
before = GlobalState.now()
import numpy, sklearn.linear_model, scipy.stats, torch, onnxruntime, transformers, datasets
print(before.changes())
torch.set_default_dtype(torch.float64)
numpy.seterr(all="raise")
print(before.changes())
"""


def test_the_import_of_a_library_is_no_change_but_what_is_done_to_it_is() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "[]"
    assert (
        second == """["NumPy's error state", "torch's default dtype (from torch.float32 to torch.float64)"]"""
    )


def test_a_guard_complains_even_if_an_error_passes() -> None:
    said: list[str] = []
    with pytest.raises(ValueError, match="broken"), guarded(said.extend):
        torch.set_default_dtype(torch.float64)
        raise ValueError("broken")
    assert said == ["torch's default dtype (from torch.float32 to torch.float64)"]
    assert torch.get_default_dtype() is torch.float32


def test_generators_do_not_remember_what_was_drawn_before() -> None:
    def draws() -> list[float]:
        seed_generators(3)
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]

    first = draws()
    random.random(), np.random.rand(5), torch.manual_seed(7)
    assert draws() == first


def test_a_state_is_extended_by_what_it_lacks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    state = GlobalState.now()
    del state.values["NumPy's error state"], state.values["the current folder"]
    state.values["the mask of new files"] = "as it was"
    read: list[str] = []
    parts = [replace(part, read=lambda part=part: read.append(part.name)) for part in global_state._parts()]
    monkeypatch.setattr(global_state, "_parts", lambda: parts)
    state.extend()
    assert sorted(read) == ["NumPy's error state", "the current folder"]
    assert state.values["the mask of new files"] == "as it was"
