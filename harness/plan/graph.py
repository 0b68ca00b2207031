"""Keep the steps of a plan while it is made: equal steps once, each with the digest that is its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from harness.api import Component, Task, TaskType
from harness.plan.identity import Identities
from harness.values import digest

_WIDE = ("teacher", "student", "targets", "evaluation")
_ACCELERATED = ("teacher", "transfer", "targets", "student", "evaluation", "latency")


class Step(NamedTuple):
    """A unit of work that cells share. `needs` maps a role to the key of the step with that role."""

    kind: str
    key: str
    label: str
    components: Mapping[str, Component]
    settings: Mapping[str, Any]  # seed, precision, source …: plain values
    notes: Mapping[str, Any]  # inputs that do not change the result, e.g. a folder's path
    needs: Mapping[str, str]
    work: str  # equal for steps that differ only in their seed; for estimates
    likes: tuple[str, ...]  # names of groups of similar steps, the most similar first; for rougher estimates
    gpu: bool = False  # whether it is faster on a GPU
    wide: bool = False  # whether it uses the cores that other steps leave idle
    exclusive: bool = False  # whether it must run while no other step runs
    foreign: tuple[str, ...] = ()  # the components, such as "student 'x'", that are from other packages
    gpus: int = 1  # GPUs of one machine that it can use at once
    rated: float = 0.0  # expected seconds, given the components' rates; set when it is scheduled


class _Form(NamedTuple):
    """What is equal in steps that differ only in their seed and in the steps that they need."""

    start: str  # of the text whose digest is a step's key: before its seed
    middle: str  # between its seed and its needs
    label: str
    components: Mapping[str, Component]
    notes: Mapping[str, Any]
    likes: tuple[str, ...]
    gpu: bool
    wide: bool
    exclusive: bool
    foreign: tuple[str, ...]
    gpus: int
    settings: dict[str, Mapping[str, Any]]  # by seed


class Graph:
    """The steps of a plan, by key; each comes after those that it needs.

    Tasks and components are told apart by object: comparing their fields for each of 400,000 steps would take
    longer than all the rest. They must exist as long as the graph.
    """

    def __init__(
        self, identities: Identities, code: Callable[[str], str], type_of: Callable[[Task], TaskType]
    ) -> None:
        self.steps: dict[str, Step] = {}
        self._identities = identities
        self._code = code  # returns the digest of the code of a kind of step
        self._type_of = type_of
        self._forms: dict[tuple[Any, ...], _Form] = {}
        self._works: dict[tuple[str, ...], str] = {}
        self._needs: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def add(
        self,
        kind: str,
        task: Task,
        components: Mapping[str, Component],
        settings: Mapping[str, Any],
        needs: Mapping[str, str],
        label: str,
        notes: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a step, unless an equal one is there; return its key. `needs` are keys of steps that are there.

        The step's settings are values that can be hashed; all but `seed` and the needs are in its `work`.
        """
        seed = str(settings.get("seed", ""))
        plain = tuple([item for item in settings.items() if item[0] != "seed"])
        memo = (kind, label, id(task), plain, *components, *map(id, components.values()))
        form = self._forms.get(memo)
        if form is None:
            task_type = self._type_of(task)
            form = self._form(kind, task_type, components, plain, label, notes or {})
            self._forms[memo] = form
        key = digest(form.start, seed, form.middle, *[f"{role}={needed}" for role, needed in needs.items()])
        if key not in self.steps:
            work = (kind, form.middle, *[self.steps[needed].work for needed in needs.values()])
            if work not in self._works:
                self._works[work] = digest(*work)
            self.steps[key] = Step(
                kind,
                key,
                form.label,
                form.components,
                form.settings.setdefault(seed, settings),
                form.notes,
                self._needs.setdefault(tuple(needs.items()), needs) if seed else needs,  # other seeds' too
                self._works[work],
                form.likes,
                form.gpu,
                form.wide,
                form.exclusive,
                form.foreign,
                form.gpus,
            )
        return key

    def _form(
        self,
        kind: str,
        task_type: TaskType,
        components: Mapping[str, Component],
        plain: Iterable[tuple[str, Any]],
        label: str,
        notes: Mapping[str, Any],
    ) -> _Form:
        """Return what is equal in all steps that differ from this one only in their seed and their needs."""
        of = {role: f"{role}={self._identities.of(component)}" for role, component in components.items()}
        typed = f"task_type={self._identities.of(task_type)}"
        precision = dict(plain).get("precision", "")
        # For steps without a learner, all components count.
        alone = of.get("student") or of.get("teacher") or "".join(of.values())
        names = ",".join(component.name for component in components.values())
        gpus = max(c.gpus_to_train for c in components.values()) if kind == "teacher" else 1
        return _Form(
            start=f"{kind}\x1f{self._code(kind)}",
            middle="\x1f".join((*of.values(), typed, *(f"{name}={value}" for name, value in plain))),
            label=f"{kind} {label}",
            components={**components, "task_type": task_type},
            notes=notes,
            likes=(f"{kind} {alone} {precision}".rstrip(), f"{kind} {names}", kind),
            gpu=kind in _ACCELERATED and any(_on_gpu(kind, c) for c in components.values()),
            wide=kind in _WIDE and any(c.spreads for c in components.values()),
            exclusive=kind == "latency" or gpus > 1,
            foreign=tuple(
                f"{c.kind} '{c.name}'"
                for c in (*components.values(), task_type)
                if self._identities.foreign(c)
            ),
            gpus=gpus,
            settings={},
        )


def _on_gpu(kind: str, component: Component) -> bool:
    return component.runs_on_gpu if kind == "latency" else component.accelerated
