"""Run plugins that go against everything beside plugins that do not; see :mod:`faults.mischief`."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from textwrap import dedent, indent
from typing import TYPE_CHECKING

from components import fake_distribution

from faults import mischief
from faults.bases import aside, forget
from faults.judge import Case
from faults.world import slowness

if TYPE_CHECKING:
    from faults.world import World

_STUDENT = """

    [[student]]
    use = {name}
"""
_MODULE = '''
"""A hostile plugin."""
import os
from dataclasses import dataclass
import numpy as np
import harness
{top}

class Model(harness.Model):
    def __init__(self, classes):
        self.classes = classes
    def predict(self, texts):
        {predict}
        return np.zeros((len(texts), self.classes), np.float32)
    def decide(self, texts, logits):
        {decide}
        return logits.argmax(axis=1)
    def save(self, folder):
        {save}
        (folder / "model.json").write_text(str(self.classes))
    def parameters(self):
        {parameters}
        return harness.Parameters(1, 1, 0)

@dataclass(frozen=True)
class Hostile(harness.Student):
    """Goes wrong on purpose."""
    name = "hostile"
    speed = harness.Speed(train=0.1, label=100)  # slow: it runs before the others
    {body}
    def fit(self, transfer, validation, loss, context):
        {fit}
        return Model(len(transfer.classes))
    def load(self, folder, context):
        {load}
        return Model(int((folder / "model.json").read_text()))

@harness.hookimpl
def register_students(register):
    {hook}
    register(Hostile)
'''
_SLOTS = ("top", "predict", "decide", "save", "parameters", "body", "fit", "load", "hook")


def cases(whole: bool) -> list[Case]:
    """Return a case for each act of mischief."""
    groups = {
        "state": (mischief.STATE, "guarded", "fit"),
        "ending": (mischief.ENDINGS, "few", "fit"),
        "hang": (mischief.HANGS, "few", "fit"),
        "children": (mischief.CHILDREN, "few", "fit"),
        "output": (mischief.OUTPUT, "few", "fit"),
        "reach": (mischief.REACH, "few", "fit"),
        "class": (mischief.CLASSES, "few", "body"),
    }
    found = [
        Case("hostile plugins", f"{group}-{name}", partial(beside, group=group, where=where, code=code), base)
        for group, (acts, base, where) in groups.items()
        for name, code in acts.items()
    ]
    found += [
        Case(
            "hostile plugins", f"value-{name}", partial(beside, group="value", where=where, code=code), "few"
        )
        for name, (where, code) in mischief.VALUES.items()
    ]
    found += [
        Case("hostile plugins", f"import-{name}", partial(loaded, where=where, code=code), "few")
        for where, acts in (("top", mischief.IMPORTS), ("hook", mischief.HOOKS))
        for name, code in acts.items()
    ]
    small = ("state-recursion", "import-print")
    few = [replace(case, base="few") for case in found if case.name in small]  # without torch
    return found if whole else few


def install(world: World, where: str, code: str) -> None:
    """Put a plugin on the world's site that does this at this place."""
    lines = dict.fromkeys(_SLOTS, "pass") | {"top": ""}
    lines[where] = _indented(code, _depth(where))
    (world.site / "hostile.py").write_text(_MODULE.format(**lines), encoding="utf-8")
    fake_distribution(world.site, "hostile-plugin", points={"hostile": "hostile"})


def beside(world: World, group: str, where: str, code: str) -> None:
    """Run the suite with a hostile student in it: only the cells of that student may go wrong."""
    world.plugin_at_fault = True
    reference = aside(world)
    forget(world)
    install(world, where, code)
    suite = world.folder / "hostile.toml"
    name = _name(code) if where == "body" else "hostile"
    limits = f'name = "suite"\ntime_limit = {round((15 if group == "hang" else 60) * slowness())}'
    text = world.suite.read_text().replace("[suite]", f"[suite]\n{limits}", 1)
    suite.write_text(text + dedent(_STUDENT).format(name=json.dumps(name)))
    said = world.bench("--devices", "cpu:1", suite=suite)
    refused = said.status == 2 and said.err.startswith(("error:", "warning:"))
    refused = refused or said.status == 130  # a KeyboardInterrupt is believed, whoever raises it
    may_be_cut = group == "reach"  # what it removes may be what the others need
    if group == "class" and refused:  # such a class is refused before anything runs; the others can be used
        world.expect(world.bench(), 0)
        world.same_as(reference)
    elif may_be_cut:
        world.expect(said, 0, 1, 2)
    else:
        world.expect(said, 0, 1)
        world.same_as(reference)
        if not any((record.get("student") or {}).get("name") == name for record in world.records().values()):
            world.fault("lost", "there is no record of the hostile cell")
    world.judge_records()
    if may_be_cut:  # then all is made again without it
        world.plugin_at_fault = False
        _without(world)
        world.suite.write_text((reference / "suite.toml").read_text())
        world.expect(world.bench(), 0)
        world.same_as(reference)


def loaded(world: World, where: str, code: str) -> None:
    """Use the command while a plugin is installed that goes wrong when it is loaded."""
    reference = aside(world)
    forget(world)
    install(world, where, code)
    world.plugin_at_fault = True
    said = world.run("plugins", "--json")
    world.expect(said, 0)
    try:
        json.loads(said.out)
    except ValueError:
        world.fault("wrong", f"`plugins --json` printed something else than JSON: {said.out[:200]!r}")
    said = world.bench()
    world.expect(said, 0)
    if len(said.events) < len(said.out.splitlines()):
        world.fault("wrong", f"`bench --json` printed something else than JSON: {said.out[:200]!r}")
    world.same_as(reference)
    world.judge_records()


def _without(world: World) -> None:
    """Remove the hostile plugin."""
    import shutil

    shutil.rmtree(next(world.site.glob("hostile*.dist-info")), ignore_errors=True)
    (world.site / "hostile.py").unlink(missing_ok=True)


def _name(code: str) -> str:
    """Return the name that the lines of a class give it."""
    if not code.startswith("name ="):
        return "hostile"
    found: dict[str, object] = {}
    exec(code, found)
    return found["name"] if isinstance(found["name"], str) else "hostile"


def _depth(where: str) -> int:
    return 0 if where == "top" else 4 if where in ("body", "hook") else 8


def _indented(code: str, depth: int) -> str:
    """Return lines of code at a depth, without the spaces before the first line."""
    return indent(dedent(code).strip("\n"), " " * depth).lstrip(" ")
