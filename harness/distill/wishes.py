"""The options of the user of ``harness distill``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MODEL = "model"  # the folder of the shipped model
NONE = "none"  # the name that stands for no teacher


@dataclass(frozen=True)
class Wishes:
    """The options of the user; None for what is chosen automatically."""

    file: Path
    text: str  # column with the text; "": the usual one of the task that reads the file
    label: str  # column with the label, likewise
    out: Path
    seconds: float = 600.0  # for everything
    task: str | None = None  # name of the task that reads the file; None: the one that it looks like
    test: Path | None = None  # file with the test texts; None: a part of the file
    validation: Path | None = None  # file with the validation texts, likewise
    unlabelled: Path | None = None  # file with more texts
    teacher: str | None = None  # name; NONE for none
    seeds: int | None = None
    class_weights: str | None = None
    dry: bool = False  # only say what would be done
    metric: str | None = None  # that the shipped model should be best by; None: that of the type of task

    @property
    def name(self) -> str:
        """Return the name of the suite, which is the file's name in characters that a folder can have."""
        stem = re.sub(r"[^a-z0-9]+", "-", self.file.name.partition(".")[0].lower()).strip("-") or "texts"
        return f"{stem}-texts" if stem in (MODEL, "trials") else stem
