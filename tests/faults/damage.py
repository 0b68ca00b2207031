"""Damage files of a finished store and its results, and run the command again."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from faults.bases import aside
from faults.judge import Case, Skip

if TYPE_CHECKING:
    from faults.world import World

# A file of each kind, as a pattern below the world. Of a pattern's files, the seed chooses one.
STORED = {
    "toys": (
        "store/data/*/manifest.json",
        "store/data/*/train.arrow",
        "store/data/*/test.arrow",
        "store/transfer/*/*.arrow",
        "store/targets/*/logits.npy",
        "store/teacher/*/model/points.json",
        "store/student/*/manifest.json",
        "store/student/*/model/points.json",
        "store/evaluation/*/manifest.json",
        "store/evaluation/*/predictions.safetensors",
        "store/timings.jsonl",
    ),
    "real": (
        "store/export/*/manifest.json",
        "store/export/*/model.onnx",
        "store/export/*/model.int8.onnx",
        "store/export/*/featuriser.json",
        "store/export/*/tokenizer.json",
        "store/export/*/labels.json",
        "store/student/*/model/model.safetensors",
        "store/student/*/model/model.json",
        "store/latency/*/manifest.json",
    ),
}
WRITTEN = (  # in the results; a person may have to delete the first two, as the message says
    "results/suite/records.jsonl",
    "results/suite/predictions.parquet",
    "results/suite/leaderboard.md",
    "results/suite/index.html",
    "results/README.md",
)
_REFUSED = WRITTEN[:2]
_AT_ONCE = 3  # kinds of stored files that one case damages


def cases(whole: bool) -> list[Case]:
    """Return every way to damage a file for every kind of file."""
    if not whole:
        return [_stored("few", STORED["toys"][7:8], "flip")]
    found = []
    for way in WAYS:
        for base, patterns in STORED.items():
            for first in range(0, len(patterns), _AT_ONCE):
                if base == "toys" or way in ("truncate", "flip", "delete", "list"):
                    found.append(_stored(base, patterns[first : first + _AT_ONCE], way))
        found += [
            Case("damage", f"{way}-{Path(name).name}", partial(written, name=name, way=way))
            for name in WRITTEN
        ]
    return found + [Case("damage", f"folder-{name}", partial(lost_folder, name=name)) for name in FOLDERS]


def _stored(base: str, patterns: tuple[str, ...], way: str) -> Case:
    name = "-".join([way, *(pattern.removeprefix("store/").replace("/*/", "-") for pattern in patterns)])
    return Case("damage", name.replace("/", "-"), partial(stored, patterns=patterns, way=way), base)


def stored(world: World, patterns: tuple[str, ...], way: str) -> None:
    """Damage files in the store, verify it, and run again: every record must be whole."""
    rng = random.Random(f"damage {patterns} {way}")
    reference = aside(world)
    world.trials = len(patterns)
    for pattern in patterns:
        found = sorted(world.folder.glob(pattern))
        assert found, f"there is no file {pattern}"
        WAYS[way](rng.choice(found), rng)
    world.expect(world.bench(), 0)
    world.same_as(reference)
    world.judge_records()
    world.swept()


def written(world: World, name: str, way: str) -> None:
    """Damage a file of the results, show them, and run again."""
    reference = aside(world)
    path = world.folder / name
    WAYS[way](path, random.Random(f"damage {name} {way}"))
    world.expect(world.run("leaderboard", "suite"), 0, 2)
    said = world.bench()
    if said.status == 2 and (name in _REFUSED or way == "folder"):
        if path.name not in said.err:
            world.fault("wrong", f"the message does not name {name}: {said.err[-300:]}")
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        said = world.bench()
    world.expect(said, 0)
    world.same_as(reference)
    world.judge_records()


FOLDERS = (
    "store",
    "store/locks",
    "store/tmp",
    "store/student",
    "store/data",
    "store/timings.jsonl",
    "results",
)


def lost_folder(world: World, name: str) -> None:
    """Replace a folder by a file, or a file by a folder, and then put right what the message names."""
    reference = aside(world)
    before = world.kept()
    path = world.folder / name
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("")
    else:
        path.unlink()
        path.mkdir()
    said = world.bench()
    world.expect(said, 0, 1, 2)
    if said.status == 0:
        world.same_as(reference)
    elif name != "results":
        world.still(before, artefacts=False)
    if path.is_dir() and "timings" in name:
        path.rmdir()
    elif path.is_file():
        path.unlink()
    world.expect(world.bench(), 0)
    world.same_as(reference)


# -- ways to damage a file --------------------------------------------------------------------------------


def _truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, max(2, len(data)))])


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data) // 4, len(data))
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(path.stat().st_size))


def _folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _closed(path: Path, rng: random.Random) -> None:
    if os.geteuid() == 0:
        raise Skip("root may read every file")
    path.chmod(0)


def _loop(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


WAYS: dict[str, Callable[[Path, random.Random], object]] = {
    "truncate": _truncate,
    "flip": _flip,
    "noise": _noise,
    "empty": lambda path, rng: path.write_bytes(b""),
    "delete": lambda path, rng: path.unlink(),
    "folder": _folder,
    "list": lambda path, rng: path.write_text("[1, 2]\n"),
    "object": lambda path, rng: path.write_text("{}\n"),
    "number": lambda path, rng: path.write_text("NaN"),
    "longer": lambda path, rng: path.write_bytes(path.read_bytes() + b"\0" * 100),
    "closed": _closed,
    "loop": _loop,
    "pipe": _pipe,
}
