"""Build the record of each cell from the plan, the outcomes of its steps, and the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.api import Component, parameters_of
from harness.naming import PARTS, configuration
from harness.plan.compatibility import Status
from harness.plan.identity import answer_of, with_parts
from harness.plan.planner import Cell, Plan
from harness.results.provenance import environment
from harness.results.record import SCHEMA, Record
from harness.run.schedule import Outcome
from harness.steps.cost import seconds_of
from harness.storage.store import Artefact, Damaged, Store

if TYPE_CHECKING:
    from harness.catalog import Catalog

# Values in the result of an evaluation that are costs, not metrics.
_COSTS = ("texts_per_s",)


def collect(
    plan: Plan,
    outcome: Callable[[str], Outcome],
    store: Store,
    catalog: Catalog,
    before: Iterable[Record] = (),
    tell: Callable[[str], None] = lambda message: None,
) -> Iterator[Record]:
    """Yield the records of all cells that succeeded or failed, but not of unfinished ones.

    If the store has lost an artefact whose results a record contains, they are taken from the record of the
    same cell in `before`, if it has them; `tell` is called with a sentence about it. Otherwise the cell is
    unfinished, or failed if the artefact could not be made again.
    """
    describe = _describer(plan, catalog)
    shared = environment()
    earlier = _sound(before)
    taken: dict[str, str] = {}  # kinds of the steps whose results come from earlier records, by key
    for cell in plan.cells:
        status, reason = verdict(cell, outcome)
        if status is None:
            continue
        wanted = plan.results(cell)
        artefacts = _artefacts(plan, {**cell.steps, **wanted}, store, tell)
        old = earlier.get(cell.key)
        lost = {role: key for role, key in wanted.items() if role not in artefacts}
        if status == "ok" and lost:
            gone = [key for role, key in lost.items() if old is None or not _has(old, cell, role)]
            status, reason = worst([outcome(key) for key in gone]) if gone else ("ok", "")
            if gone and status in (None, "ok"):
                continue  # damaged in the meantime; the next run makes it again
            taken |= {key: plan.steps[key].kind for key in lost.values()}
        data = artefacts["data"].result if "data" in artefacts else {}
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "suite": plan.suite.name,
            "cell": cell.key,
            "status": status,
            "reason": reason,
            **describe(cell),
            "seed": cell.seed,
            "prior": _prior(cell, plan),
        }
        record["task"] |= data.get("rows", {})
        record["task"] |= {"cleaning": data["cleaning"]} if "cleaning" in data else {}
        record |= _measured(cell, artefacts)
        if "cost" in record and (cell.student or cell.teacher).mixed_precision:  # type: ignore[union-attr]
            record["cost"]["precision_reason"] = plan.precision.reason
        own = {role: key for role, key in cell.steps.items() if status == "ok" or role in artefacts}
        record["artefacts"] = own
        if cell.role == "distilled" and status == "ok":
            share = _share(cell, artefacts) if "teacher-evaluation" in artefacts else None
            record["metrics"]["teacher_share"] = share
        made: list[Mapping[str, Any]] = [artefacts[role].made for role in cell.steps if role in artefacts]
        if status == "ok" and old is not None and len(made) < len(cell.steps):
            made.append(old.get("provenance") or {})
        if status == "ok" and old is not None:
            _take(record, old, cell, lost)
        record["provenance"] = {
            **shared,
            "started": min(filter(None, (m.get("started") for m in made)), default=None),
            "finished": max(filter(None, (m.get("finished") for m in made)), default=None),
        }
        yield record  # type: ignore[misc]
    if taken:
        counts = Counter(taken.values())
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        tell(f"the store no longer has some artefacts ({listed}); earlier records have their results")


# -- results that the store has lost -------------------------------------------------------------------------


def known(plan: Plan, before: Iterable[Record], predicted: Container[str] = frozenset()) -> set[str]:
    """Return the steps that need not be done again if the store has lost them: records have their results.

    The last steps of a cell are not among them, nor data without which its predictions would be lost;
    `predicted` are the cells whose predictions are stored beside the records.
    """
    earlier = _sound(before)
    had: set[str] = set()
    missed: set[str] = set()
    for cell in plan.cells:
        old = earlier.get(cell.key)
        for role, key in plan.results(cell).items():
            there = old is not None and _has(old, cell, role) and (role != "data" or cell.key in predicted)
            (had if there else missed).add(key)
    return had - missed


def _sound(records: Iterable[Record]) -> dict[str, Record]:
    return {record["cell"]: record for record in records if record["status"] == "ok"}


def _has(old: Record, cell: Cell, role: str) -> bool:
    """Return whether an earlier record of a cell has the results of the step that now has this role."""
    made = old.get("artefacts") or {}
    if role == "teacher-evaluation":  # the key of the cell's own evaluation depends on it
        share = (old.get("metrics") or {}).get("teacher_share")
        return share is not None and made.get("evaluation") == cell.steps["evaluation"]
    return cell.steps[role] not in cell.goals and made.get(role) == cell.steps[role]


def _take(record: dict[str, Any], old: Record, cell: Cell, lost: Iterable[str]) -> None:
    """Fill in the fields of lost artefacts from an earlier record; fields that are there stay."""
    fitted = _fitted(cell)
    for role in lost:
        for path in _FIELDS.get("fitted" if role == fitted else role, ()):
            field, _, inner = path.partition(".")
            found: Any = old.get(field)
            if inner:
                found = {inner: found[inner]} if inner in (found or {}) else None
            if isinstance(found, Mapping):
                there = {key: value for key, value in record.get(field, {}).items() if value is not None}
                record[field] = {**record.get(field, {}), **found, **there}
            elif found is not None:
                record[field] = found


# By role, the fields of a record that a step measures; the last steps are never taken from earlier records.
_FIELDS = {
    "data": ("task",),
    "fitted": ("parameters", "size_bytes.model", "cost", "history"),
    "targets": ("cost.labelling_s",),
    "hidden": ("cost.labelling_s",),
    "tokens": ("cost.tokens_s",),
    "prior": ("cost.prior_s",),
    "transfer": ("transfer",),
    "teacher-evaluation": ("metrics.teacher_share",),
}


def _fitted(cell: Cell) -> str:
    return "teacher" if cell.role == "teacher" else "student"


# -- parts of a record ---------------------------------------------------------------------------------------


def rows(plan: Plan, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Yield a description of each row of a plan: cells that differ only in their seed.

    `seeds` contains the key of the evaluation for each seed, or None if the cell cannot run.
    """
    describe = _describer(plan, catalog)
    found: dict[str, dict[str, Any]] = {}
    for cell in plan.cells:
        row = describe(cell)
        same = found.setdefault(configuration(row), row | {"seeds": {}})
        same["seeds"][cell.seed] = cell.steps.get("evaluation")
    yield from found.values()


def _describer(plan: Plan, catalog: Catalog) -> Callable[[Cell], dict[str, Any]]:
    """Return a function that describes a cell without its seed: its role, data and components."""
    described: dict[int, dict[str, Any]] = {}  # components are shared by thousands of cells
    of_task = Counter(cell.task for cell in plan.cells)

    def component(one: Component | None) -> dict[str, Any] | None:
        if one is None:
            return None
        if id(one) not in described:
            described[id(one)] = {
                "name": one.name,
                "params": parameters_of(one),
                "plugin": catalog.package_of(one),
                "version": one.version,
                **({"base": base} if (base := plan.bases.get(id(one))) else {}),
                **({"note": note} if (note := _note(one)) else {}),
            }
        return described[id(one)]

    def describe(cell: Cell) -> dict[str, Any]:
        source = cell.source
        return {
            "role": cell.role,
            "task": {
                **(component(cell.task) or {}),
                "type": cell.task.task_type,
                "headline": cell.headline,
                "source": source.name if source else None,
                "origin": source.origin if source else None,
                "fingerprint": source.fingerprint if source else None,
                "cells": of_task[cell.task],
            },
            **{part: component(getattr(cell, part)) for part in PARTS},
        }

    return describe


def _note(component: Component) -> str:
    """Return the notes of a component and of those in its fields."""
    told = (answer_of(part, part.note) for part in with_parts(component))
    return "; ".join(dict.fromkeys(note for note in told if note and isinstance(note, str)))


def verdict(cell: Cell, outcome: Callable[[str], Outcome]) -> tuple[Status | None, str]:
    """Return a cell's status and reason; the status is None if a step has not finished."""
    if cell.status != "ok":
        return cell.status, cell.reason
    return worst([outcome(key) for key in cell.goals])


def worst(outcomes: Iterable[Outcome]) -> tuple[Status | None, str]:
    """Return the status and reason of a cell with these steps; the status is None if one has not finished."""
    found = list(outcomes)
    for state in ("failed", "unavailable"):
        for one in found:
            if one.state == state:
                return state, one.reason
    return ("ok", "") if all(one.state == "done" for one in found) else (None, "")


def _artefacts(
    plan: Plan, wanted: Mapping[str, str], store: Store, tell: Callable[[str], None]
) -> dict[str, Artefact]:
    """Return artefacts by role, without those that the store has lost."""
    found: dict[str, Artefact] = {}
    for role, key in wanted.items():
        try:
            artefact = store.find(plan.steps[key].kind, key)
        except Damaged as damage:
            tell(f"{damage.what}; it was set aside")
            continue
        if artefact is not None:
            found[role] = artefact
    return found


def _prior(cell: Cell, plan: Plan) -> dict[str, Any] | None:
    """Return the data of the model that the cell's model starts from, which may have another source."""
    if "prior" not in cell.steps:
        return None
    data = plan.steps[plan.steps[cell.steps["prior"]].needs["data"]]
    told = {name: data.settings[name] for name in ("source", "fingerprint")}
    return {"task": data.components["task"].name, "origin": data.notes["origin"], **told}


def _share(cell: Cell, artefacts: Mapping[str, Artefact]) -> float | None:
    """Return a student's headline metric divided by its teacher's, so that above 1 is better than it."""
    evaluation, teacher = artefacts["evaluation"], artefacts["teacher-evaluation"]
    headline = cell.headline
    of_teacher = teacher.result["test"].get(headline)
    of_student = evaluation.result["test"].get(headline)
    if cell.task_type.metric(headline).lower_is_better:  # so that above 1 is better here too
        of_student, of_teacher = of_teacher, of_student
    return of_student / of_teacher if of_teacher and of_student is not None else None


def _measured(cell: Cell, artefacts: dict[str, Artefact]) -> dict[str, Any]:
    """Return the fields of a record that the steps of a cell measured."""
    fields: dict[str, Any] = {}
    fitted = artefacts.get(_fitted(cell))
    if fitted is not None:
        seconds = seconds_of([fitted])
        history = fitted.result.get("history") or [{}]
        examples = int(history[-1].get("examples", fitted.result["examples"]))
        fields["parameters"] = fitted.result["parameters"]
        fields["size_bytes"] = {"model": fitted.size_bytes}
        fields["cost"] = {
            "train_s": seconds,
            "examples": examples,
            "examples_per_s": examples / max(seconds, 1e-9),
            "peak_rss_bytes": fitted.made["peak_rss_bytes"],
            "peak_anonymous_bytes": fitted.made.get("peak_anonymous_bytes"),
            "peak_mapped_bytes": fitted.made.get("peak_mapped_bytes"),
            "peak_gpu_bytes": fitted.made.get("peak_gpu_bytes"),
            "energy_j": fitted.made.get("energy_j"),
            "precision": fitted.made["precision"],
            "device": fitted.made["device"],
        }
        labelled = [role for role in ("targets", "hidden") if role in cell.steps]
        if labelled and all(role in artefacts for role in labelled):
            fields["cost"]["labelling_s"] = seconds_of([artefacts[role] for role in labelled])
        if "tokens" in artefacts:
            fields["cost"]["tokens_s"] = seconds_of([artefacts["tokens"]])
        if "prior" in artefacts:
            fields["cost"]["prior_s"] = seconds_of([artefacts["prior"]])
        if "history" in fitted.result:
            fields["history"] = fitted.result["history"]
    if "transfer" in artefacts:
        stored = artefacts["targets"].result.get("stored") if "targets" in artefacts else None
        fields["transfer"] = artefacts["transfer"].result | ({"logits": stored} if stored else {})
    if "evaluation" in artefacts:
        scores = artefacts["evaluation"].result
        for field, split in (("metrics", "test"), ("validation", "validation")):
            fields[field] = {name: value for name, value in scores[split].items() if name not in _COSTS}
        fields |= scores.get("probes", {})
        if "decision" in scores:
            fields["decision"] = scores["decision"]
        fields.setdefault("cost", {})["texts_per_s"] = scores["test"]["texts_per_s"]
    if (exported := artefacts.get("export")) is not None:
        fields["export"] = exported.result
        if exported.result["exported"]:
            forms = exported.result.get("forms") or {"onnx": {"size_bytes": exported.size_bytes}}
            sizes = {form: found["size_bytes"] for form, found in forms.items() if "rejected" not in found}
            fields.setdefault("size_bytes", {}).update(sizes)
    if "latency" in artefacts:
        fields["latency"] = artefacts["latency"].result["latency"]
        fields["load"] = artefacts["latency"].result["load"]
    return fields
