"""Undisturbed worlds: what every disturbed one is compared with, and starts from."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from textwrap import dedent

from components import fake_distribution, install_toys

from faults.world import World

KIT = Path(__file__).parent / "kit"

# The suite of each base, and whether it needs the first-party plugins (and so torch).
TOYS = """
    [suite]
    seeds = [0, 1]
    latency = false
    baseline = { use = "toy-labels" }

    [[task]]
    use = "toy"

    [[teacher]]
    use = "toy-teacher"

    [[student]]
    use = "toy"

    [[student]]
    use = "slow"

    [[augmenter]]
    use = "toy-plain"

    [[augmenter]]
    use = "toy-shuffle"

    [[loss]]
    use = "toy-soft"
"""
REAL = """
    [suite]

    [[task]]
    use = "file"
    train = "toys.csv"

    [[student]]
    use = "mlp"
    width = 4
    epochs = { sweep = [1, 2] }
    min_examples = 0
"""
GUARDED = """
    [suite]
    latency = false

    [[task]]
    use = "file"
    train = "toys.csv"

    [[student]]
    use = "witness"

    [[student]]
    use = "mlp"
    width = 4
    epochs = 2
    min_examples = 0
"""
FEW = """
    [suite]
    latency = false
    baseline = { use = "toy-labels" }

    [[task]]
    use = "toy"

    [[augmenter]]
    use = "toy-plain"

    [[student]]
    use = "toy"

    [[student]]
    use = "witness"
"""
SUITES = {"toys": TOYS, "few": FEW, "real": REAL, "guarded": GUARDED}


def build(name: str, folder: Path) -> Path:
    """Make an undisturbed world in a folder, unless it is there, and return the folder."""
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    with FileLock(folder / f"{name}.lock"):
        if not target.exists():
            shutil.rmtree(folder / f"{name}.part", ignore_errors=True)
            world = prepared(name, folder / f"{name}.part")
            said = world.bench()
            world.expect(said, 0)
            world.same_as(world.folder)  # its records and answers can be read
            if world.faults:
                raise AssertionError(f"the undisturbed run of {name} went wrong: {world.faults}")
            world.folder.rename(target)
    return target


def prepared(name: str, folder: Path) -> World:
    """Return a world in which nothing has run."""
    world = World(folder)
    world.suite.write_text(dedent(SUITES[name]))
    install_toys(world.site)
    shutil.copytree(KIT / "faultkit", world.site / "faultkit")
    fake_distribution(world.site, "faultkit", points={"faultkit": "faultkit"})
    (world.folder / "toys.csv").write_text(labelled_texts())
    if name in ("toys", "few"):
        (world.folder / "variables.json").write_text(
            json.dumps({"HARNESS_DISABLE_PLUGINS": "distil-harness"})
        )
    return world


def labelled_texts(rows: int = 150) -> str:
    """Return CSV with texts of three classes, which prefer other words."""
    generator = random.Random(0)
    words = {"warm": "sun gold dune", "wet": "rain flood pond", "windy": "gale storm kite"}
    common = "the day was very it and some"
    lines = ["text,label"]
    for row in range(rows):
        label = sorted(words)[row % 3]
        chosen = generator.choices(words[label].split() + common.split(), k=7)
        lines.append(f"{' '.join(chosen)} n{row},{label}")
    return "\n".join(lines) + "\n"


def forget(world: World) -> None:
    """Remove all that ran in a world."""
    shutil.rmtree(world.store, ignore_errors=True)
    shutil.rmtree(world.folder / "results", ignore_errors=True)


def aside(world: World) -> Path:
    """Return a copy of an undisturbed world, to compare with, beside the one that will be disturbed."""
    return shutil.copytree(world.folder, world.folder.parent / "reference")
