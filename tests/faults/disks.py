"""Let the disk be full, and then have space again."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from faults.bases import aside, forget
from faults.judge import Case, Skip
from faults.world import LIMIT_S, slowness

if TYPE_CHECKING:
    from faults.world import World

PLACES = {"store": ("store",), "results": ("results",), "temporary": ("tmp",), "all": ("store", "results")}


def cases(whole: bool) -> list[Case]:
    """Return full disks for the store, the results and temporary files, with and without earlier results."""
    if not whole:
        return [_mounted("store", True, 40, "few")]
    full = [
        _mounted(place, before, spare)
        for place in PLACES
        for before in (False, True)
        for spare in (0, 24, 120)
    ]
    return full + [_limited(before, size) for before in (False, True) for size in (100, 2_000, 40_000)]


def _mounted(place: str, before: bool, spare: int, base: str = "toys") -> Case:
    name = f"{place}-{'later' if before else 'first'}-{spare}k"
    return Case("full disks", name, partial(full_disk, place=place, before=before, spare=spare), base)


def _limited(before: bool, size: int) -> Case:
    name = f"file-size-{'later' if before else 'first'}-{size}"
    return Case("full disks", name, partial(small_files, before=before, size=size))


def full_disk(world: World, place: str, before: bool, spare: int) -> None:
    """Run on a disk with `spare` KiB left, first or over earlier results, and again when there is space."""
    reference = aside(world)
    if not before:
        forget(world)
    with tmpfs(world.folder / "disk") as disk:
        for name in PLACES[place]:
            _move(world.folder / name, disk / name)
        kept = world.kept()
        filler = disk / "filler"
        fill(filler, disk, spare)
        said = world.bench("--fresh") if before else world.bench()
        world.expect(said, 0, 1, 2)
        if said.status == 0:
            world.same_as(reference)
        world.still(kept, artefacts=False)
        world.judge_records()
        filler.unlink()
        world.expect(world.bench(), 0)
        world.same_as(reference)
        world.swept()


def small_files(world: World, before: bool, size: int) -> None:
    """Run where no file may have more than `size` bytes, and again without that limit."""
    reference = aside(world)
    if not before:
        forget(world)
    kept = world.kept()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        running = world.start("bench", "suite.toml", "--json", *(["--fresh"] if before else []))
        running.process.wait(LIMIT_S * slowness())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    world.expect(world.wait(running), 0, 1, 2)
    world.still(kept, artefacts=False)
    world.judge_records()
    world.expect(world.bench(), 0)
    world.same_as(reference)


@contextmanager
def tmpfs(folder: Path) -> Iterator[Path]:
    """Mount a small disk in memory. Raise Skip where that is not allowed."""
    if os.geteuid() != 0:
        raise Skip("only root can mount a small disk; the limit of file sizes is tried instead")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(folder)], capture_output=True
    )
    if mounted.returncode:
        raise Skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def fill(filler: Path, disk: Path, spare: int) -> None:
    """Fill a disk up to `spare` KiB."""
    found = os.statvfs(disk)
    amount = found.f_bavail * found.f_frsize - spare * 1024
    with filler.open("wb") as stream:
        stream.write(random.Random(0).randbytes(max(0, amount)))


def _move(folder: Path, target: Path) -> None:
    import shutil

    if folder.exists():
        shutil.copytree(folder, target)
        shutil.rmtree(folder)
    else:
        target.mkdir()
    folder.symlink_to(target)
