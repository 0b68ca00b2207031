"""Watch the global state of a process, which a plugin can change by accident and so change other results.

The state is what Python, NumPy and torch keep for the whole process: the current folder, environment
variables, the recursion limit, NumPy's error state, torch's default dtype, and so on. A snapshot takes
about 0.1 ms. Libraries that are not loaded are left alone.
"""

from __future__ import annotations

import contextlib
import decimal
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

_TORCH_SEED = 67280421310721  # of torch's generators in a process that has set no seed
_MISSING = object()
LIMITS = "the limits of resources"


@dataclass(frozen=True)
class _Part:
    """One part of the state: how to read it and, if that is possible, how to set it."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any] | None = None
    quiet: bool = False  # whether libraries change it for themselves; it is undone, but not mentioned


@dataclass
class GlobalState:
    """The state of this process at one moment."""

    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def now(cls) -> GlobalState:
        """Return the present state. A part that cannot be read is left out."""
        found = cls()
        for part in _parts():
            with contextlib.suppress(Exception):
                found.values[part.name] = part.read()
        return found

    def without(self, *names: str) -> GlobalState:
        """Return this state without some parts, which may change."""
        return GlobalState({name: value for name, value in self.values.items() if name not in names})

    def extend(self) -> None:
        """Add the parts of libraries that were loaded since."""
        for part in _parts():
            if part.name not in self.values:
                with contextlib.suppress(Exception):
                    self.values[part.name] = part.read()

    def changes(self, quiet: bool = False) -> list[str]:
        """Return what has changed since, as phrases such as "torch's default dtype".

        `quiet` is whether to include what libraries change for themselves.
        """
        found = []
        for part in _parts():
            before = self.values.get(part.name, _usual(part.name))
            if before is _MISSING or (part.quiet and not quiet):  # missing: of a library loaded since
                continue
            try:
                after = part.read()
            except Exception:
                found.append(part.name)
                continue
            if after != before:
                found.append(_described(part.name, before, after))
        return found

    def restore(self) -> None:
        """Set all parts to their earlier values, as far as that is possible."""
        for part in _parts():
            before = self.values.get(part.name, _usual(part.name))
            if before is not _MISSING and part.write is not None:
                with contextlib.suppress(Exception):
                    if part.read() != before:
                        part.write(before)


@contextlib.contextmanager
def guarded(complain: Callable[[list[str]], None], before: GlobalState | None = None) -> Iterator[None]:
    """Undo what the code inside changes in the global state; call `complain` with the changes, if any.

    `before` is the state to go back to, by default the present one.
    """
    state = before or GlobalState.now()
    try:
        yield
    finally:
        if state.changes(quiet=True):
            changes = state.changes()
            state.restore()
            if changes:
                complain(changes)


def seed_generators(seed: int) -> None:
    """Set the global random generators, so that no step draws from what an earlier step has left there.

    Steps use generators of their own; this is for components that do not. Torch's generators get the state
    that they have in a new process.
    """
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := _torch():
        torch.default_generator.manual_seed(_TORCH_SEED)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(_TORCH_SEED)


# -- the parts -------------------------------------------------------------------------------------------


def _parts() -> tuple[_Part, ...]:
    """Return the parts that this process has now, which depend on the libraries that are loaded."""
    return _known_parts("numpy" in sys.modules, _torch() is not None)


@cache
def _known_parts(numpy: bool, torch: bool) -> tuple[_Part, ...]:
    return (*_python(), *(_numpy() if numpy else ()), *(_of_torch() if torch else ()))


def _torch() -> Any:
    """Return torch if it is loaded completely, else None."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "nn") and hasattr(torch, "compile") else None


def _python() -> Iterator[_Part]:
    yield _Part("the current folder", os.getcwd, os.chdir)
    yield _Part("environment variables", _environment, _set_environment)
    yield _Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit)
    yield _Part(
        "the search path of modules", lambda: list(sys.path), lambda old: _refill(sys.path, old), True
    )
    yield _Part("Python's warnings filters", _filters, _set_filters)
    yield _Part("the locale", lambda: locale.setlocale(locale.LC_ALL), _set_locale)
    yield _Part("the time zone", lambda: time.tzname)
    yield _Part("the precision of decimals", lambda: decimal.getcontext().prec, _set_decimals)
    yield _Part("the garbage collector", lambda: (gc.isenabled(), gc.get_threshold()), _set_collector)
    yield _Part("the switch interval of threads", sys.getswitchinterval, sys.setswitchinterval)
    yield _Part("the handlers of signals", _handlers, _set_handlers)
    if hasattr(signal, "getitimer"):
        yield _Part("the timer of alarms", _alarm_is_set, _stop_alarm)
    yield _Part(
        "the finders of modules", lambda: list(sys.meta_path), lambda old: _refill(sys.meta_path, old), True
    )
    yield _Part("the trace function", sys.gettrace, sys.settrace)
    yield _Part("the hook of exceptions", lambda: sys.excepthook, lambda old: setattr(sys, "excepthook", old))
    yield _Part("the output streams", lambda: (sys.stdout, sys.stderr), _set_streams)
    yield _Part("the level of logging", lambda: logging.root.manager.disable, logging.disable)
    yield _Part("the time-out of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout)
    yield _Part("the mask of new files", _umask, os.umask)
    yield _Part("tiny floats", lambda: sys.float_info.min / 4 > 0, _keep_tiny_floats)
    if hasattr(os, "sched_getaffinity"):
        yield _Part(
            "the CPUs of the process",
            lambda: os.sched_getaffinity(0),
            lambda old: os.sched_setaffinity(0, old),
        )
    if limits := _limits():
        yield _Part(LIMITS, *limits)


def _numpy() -> Iterator[_Part]:
    numpy = sys.modules["numpy"]
    yield _Part("NumPy's error state", numpy.geterr, lambda old: numpy.seterr(**old))
    yield _Part("NumPy's print options", numpy.get_printoptions, lambda old: numpy.set_printoptions(**old))


def _of_torch() -> Iterator[_Part]:
    torch = _torch()
    yield _Part("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield _Part("torch's default device", _default_device, _set_default_device)
    yield _Part("torch's number of threads", torch.get_num_threads, torch.set_num_threads)
    yield _Part("torch's recording of gradients", torch.is_grad_enabled, torch.set_grad_enabled)
    yield _Part("torch's search for anomalies", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly)
    yield _Part(
        "torch's deterministic algorithms",
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        ),
        _set_deterministic,
    )
    yield _Part(
        "torch's precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    )
    yield _Part("torch's autocast", lambda: torch.is_autocast_enabled("cpu"), _set_autocast)
    yield _Part("torch's settings of cuDNN", _cudnn, _set_cudnn)
    yield _Part("hooks on all modules of torch", _hooks, _set_hooks)
    yield _Part(
        "torch's modes",
        lambda: (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()),
    )


@cache
def _usual_of_torch() -> dict[str, Any]:
    """Return the state of torch just after its import, as far as it is the same on all machines."""
    torch = _torch()
    return {
        "torch's default dtype": torch.float32,
        "torch's default device": "cpu",
        "torch's recording of gradients": True,
        "torch's search for anomalies": False,
        "torch's deterministic algorithms": (False, False, True),
        "torch's precision of matrix products": "highest",
        "torch's autocast": False,
        "hooks on all modules of torch": [{} for _ in _tables_of_hooks()],
        "torch's modes": (0, 0),
    }


def _usual(name: str) -> Any:
    """Return the value of a part of a library that was loaded after a snapshot, if it is known."""
    if name == "NumPy's error state":
        return {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    return _usual_of_torch().get(name, _MISSING) if _torch() is not None else _MISSING


def _described(name: str, before: Any, after: Any) -> str:
    """Return a part's name, with the values if they say more."""
    if name == "environment variables":
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        return f"environment variable{'s' * (len(changed) > 1)} {shown}"
    if isinstance(before, str | int | float) or name == "torch's default dtype":
        return f"{name} (from {before} to {after})"
    return name


# -- reading and setting parts ------------------------------------------------------------------------------


def _alarm_is_set() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _stop_alarm(before: bool) -> None:
    if not before:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _refill(held: list[Any], old: list[Any]) -> None:
    held[:] = old


_OF_LIBRARIES = ("KMP_", "TORCHINDUCTOR_")  # variables that torch and its libraries set for themselves


def _environment() -> dict[str, str]:
    raw = dict(getattr(os.environ, "_data", {}))  # decoding all of them takes longer than all other parts
    return _decoded(frozenset(raw.items())) if raw else dict(os.environ)


@lru_cache(maxsize=2)
def _decoded(raw: frozenset[tuple[Any, Any]]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_LIBRARIES)}


def _set_environment(old: dict[str, str]) -> None:
    now = _environment()
    for name in now.keys() - old.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in old.items() if now.get(name) != value})


def _filters() -> list[Any]:
    """Return the filters that make errors or concern all modules; libraries add others when imported."""
    return [
        one
        for one in warnings.filters
        if one[0] == "error" or (one[1] is None and one[3] is None and one[2].__module__ == "builtins")
    ]


def _set_filters(old: list[Any]) -> None:
    now = _filters()
    kept = [f for f in warnings.filters if f not in now or f in old]
    kept += [f for f in old if f not in kept]
    warnings.filters[:] = kept  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _set_locale(old: str) -> None:
    locale.setlocale(locale.LC_ALL, old)


def _set_decimals(old: int) -> None:
    decimal.getcontext().prec = old


def _set_collector(old: tuple[bool, tuple[int, int, int]]) -> None:
    gc.enable() if old[0] else gc.disable()
    gc.set_threshold(*old[1])


_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD")
    if hasattr(signal, name)
]


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _SIGNALS}


def _set_handlers(old: dict[int, Any]) -> None:
    for number, handler in old.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _set_streams(old: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = old


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _limits() -> tuple[Callable[[], Any], Callable[[Any], None]] | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    names = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_STACK")
    kinds = [getattr(resource, name) for name in names if hasattr(resource, name)]

    def write(old: list[tuple[int, int]]) -> None:
        for kind, values in zip(kinds, old, strict=True):
            if resource.getrlimit(kind) != values:
                resource.setrlimit(kind, values)

    return lambda: [resource.getrlimit(kind) for kind in kinds], write


def _keep_tiny_floats(old: bool) -> None:
    if torch := _torch():
        torch.set_flush_denormal(not old)


def _default_device() -> str:
    return str(_torch().get_default_device())


def _set_default_device(old: str) -> None:
    _torch().set_default_device(None if old == "cpu" else old)  # None also removes the mode of torch


def _set_deterministic(old: tuple[bool, bool, bool]) -> None:
    torch = _torch()
    torch.use_deterministic_algorithms(old[0], warn_only=old[1])
    torch.utils.deterministic.fill_uninitialized_memory = old[2]


def _set_autocast(old: bool) -> None:
    _torch().set_autocast_enabled("cpu", old)


_CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")


def _cudnn() -> list[bool]:
    backends = _torch().backends
    return [getattr(backends.cudnn, name) for name in _CUDNN] + [backends.cuda.matmul.allow_tf32]


def _set_cudnn(old: list[bool]) -> None:
    backends = _torch().backends
    for name, value in zip(_CUDNN, old, strict=False):
        setattr(backends.cudnn, name, value)
    backends.cuda.matmul.allow_tf32 = old[-1]


@cache
def _tables_of_hooks() -> list[dict[int, Any]]:
    known = vars(_torch().nn.modules.module)
    return [known[name] for name in sorted(known) if name.startswith("_global_") and name.endswith("_hooks")]


def _hooks() -> list[dict[int, Any]]:
    return [dict(table) for table in _tables_of_hooks()]


def _set_hooks(old: list[dict[int, Any]]) -> None:
    for table, before in zip(_tables_of_hooks(), old, strict=True):
        table.clear()
        table.update(before)
