"""Check what all kinds of component share, and that importing them is quick."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from harness.api import Component, Task, parameters_of
from harness.testing.rules import Rules, known_types, listed, type_of, types_of
from harness.wording import choices

if TYPE_CHECKING:
    from harness.catalog import Catalog


def check_basics(component: Component, catalog: Catalog | None = None) -> None:
    """Check that a component is a named, documented, frozen dataclass: its fields and no more.

    With a catalog, also that suites can build it from its parameters.
    """
    from harness.catalog import vet

    must = Rules(component)
    try:
        vet(component.kind, type(component))
    except TypeError as error:
        raise AssertionError(f"{must.who}: {error}") from None
    _check_fields(must, component)
    _check_pickle(must, component)
    with must.manage("check must accept it"):
        component.check()
    _check_types(must, component, catalog)
    if catalog is not None:
        _check_built(must, component, catalog)


def _check_fields(must: Rules, component: Component) -> None:
    cls = type(component)
    storing = cls.__dataclass_params__.init and not hasattr(cls, "__post_init__")  # type: ignore[attr-defined]
    must("__init__ must only store: let the dataclass make it, without __post_init__", storing)
    stored = {each.name: getattr(component, each.name) for each in fields(component)}
    with must.manage("all of its values must be hashable"):
        hash(component)
    fresh = cls(**stored)
    must("__init__ must store its parameters, and no more", vars(fresh) == stored)
    must("repr must follow from its parameters alone", repr(fresh) == repr(component))
    for shown in (f"{name}={value!r}" for name, value in stored.items()):
        must(f"repr must show all parameters, and lacks {shown}", shown in repr(component))


def _check_pickle(must: Rules, component: Component) -> None:
    with must.manage("it must be picklable"):
        copy = pickle.loads(pickle.dumps(component))
    same = copy == component and hash(copy) == hash(component) and repr(copy) == repr(component)
    must("it must be the same when pickled and read back", same)


def _check_types(must: Rules, component: Component, catalog: Catalog | None) -> None:
    """Check that the types of task that it names are known: one at least for a component with several."""
    if isinstance(component, Task):
        with must.manage("its task type must be known"):
            type_of(component, catalog)
    named: frozenset[str] | None = getattr(component, "task_types", None)
    if named is not None and not types_of(component, catalog):
        hint = choices(min(named, default=""), known_types(catalog))
        must(f"task_types must have a known type of task, got {listed(named)}{hint}", False)


def _check_built(must: Rules, component: Component, catalog: Catalog) -> None:
    plain = json.loads(json.dumps(parameters_of(component), default=str))
    table = {key: value for key, value in plain.items() if value is not None}  # TOML has no null
    with must.manage("a suite must be able to give all of its parameters"):
        catalog.entry_of(component)
        built = catalog.build(component.kind, {"use": component.name, **table})
    must(f"built from its parameters it must be the same, got {built}", built == component)


def check_imports(*components: Component) -> None:
    """Check that importing the components' modules does not import torch, so that planning is quick."""
    modules = ", ".join(sorted({type(component).__module__ for component in components}))
    if why := _loads_torch(modules):
        raise AssertionError(f"importing {modules} must work without loading torch, but: {why}")


@cache  # many components have one module
def _loads_torch(modules: str) -> str:
    """Return what is wrong with importing modules, in a process of its own; empty if nothing is."""
    code = f"import sys, {modules}; sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""
