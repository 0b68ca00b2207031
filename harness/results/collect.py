"""Build the record of each cell from the plan, the outcomes of its steps, and the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from harness.api import Component, parameters_of
from harness.naming import PARTS, configuration
from harness.plan.compatibility import Status
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
    plan: Plan, outcome: Callable[[str], Outcome], store: Store, catalog: Catalog
) -> Iterator[Record]:
    """Yield the records of all cells that succeeded or failed, but not of unfinished ones."""
    describe = _describer(plan, catalog)
    shared = environment()
    for cell in plan.cells:
        status, reason = verdict(cell, outcome)
        if status is None:
            continue
        artefacts = {} if cell.status != "ok" else _artefacts(cell, plan, store)
        if status == "ok" and any(plan.steps[key].kind not in artefacts for key in cell.goals):
            continue  # damaged in the meantime; the next run makes it again
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
        record["artefacts"] = {role: artefact.key for role, artefact in artefacts.items()}
        if cell.role == "distilled" and status == "ok":
            record["metrics"]["teacher_share"] = _share(plan, cell, artefacts["evaluation"], store)
        made = [artefact.made for artefact in artefacts.values()]
        record["provenance"] = {
            **shared,
            "started": min((m["started"] for m in made), default=None),
            "finished": max((m["finished"] for m in made), default=None),
        }
        yield record  # type: ignore[misc]


def rows(plan: Plan, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Yield a description of each row of a plan: cells that differ only in their seed, with all `seeds`."""
    describe = _describer(plan, catalog)
    found: dict[str, dict[str, Any]] = {}
    for cell in plan.cells:
        row = describe(cell)
        found.setdefault(configuration(row), row | {"seeds": set()})["seeds"].add(cell.seed)
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


def verdict(cell: Cell, outcome: Callable[[str], Outcome]) -> tuple[Status | None, str]:
    """Return a cell's status and reason; the status is None if a step has not finished."""
    if cell.status != "ok":
        return cell.status, cell.reason
    found = [outcome(key) for key in cell.goals]
    for state in ("failed", "unavailable"):
        for one in found:
            if one.state == state:
                return state, one.reason
    return ("ok", "") if all(one.state == "done" for one in found) else (None, "")


def _artefacts(cell: Cell, plan: Plan, store: Store) -> dict[str, Artefact]:
    """Return the artefacts of a cell by role, which is usually the kind of step."""
    found: dict[str, Artefact] = {}
    for role, key in cell.steps.items():
        try:
            artefact = store.find(plan.steps[key].kind, key)
        except Damaged:
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


def _share(plan: Plan, cell: Cell, evaluation: Artefact, store: Store) -> float | None:
    """Return a student's headline metric divided by its teacher's, so that above 1 is better than it."""
    try:
        teacher = store.find("evaluation", plan.steps[evaluation.key].needs["teacher"])
    except Damaged:
        return None  # it was moved away; the next run makes it again
    if teacher is None:
        return None
    headline = cell.headline
    of_teacher = teacher.result["test"].get(headline)
    of_student = evaluation.result["test"].get(headline)
    if cell.task_type.metric(headline).lower_is_better:  # so that above 1 is better here too
        of_student, of_teacher = of_teacher, of_student
    return of_student / of_teacher if of_teacher and of_student is not None else None


def _measured(cell: Cell, artefacts: dict[str, Artefact]) -> dict[str, Any]:
    """Return the fields of a record that the steps of a cell measured."""
    fields: dict[str, Any] = {}
    fitted = artefacts.get("teacher" if cell.role == "teacher" else "student")
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
            "peak_gpu_bytes": fitted.made.get("peak_gpu_bytes"),
            "energy_j": fitted.made.get("energy_j"),
            "precision": fitted.made["precision"],
            "device": fitted.made["device"],
        }
        labelled = [artefacts[role] for role in ("targets", "hidden") if role in artefacts]
        if labelled:
            fields["cost"]["labelling_s"] = seconds_of(labelled)
        if "prior" in artefacts:
            fields["cost"]["prior_s"] = seconds_of([artefacts["prior"]])
        if "history" in fitted.result:
            fields["history"] = fitted.result["history"]
    if "transfer" in artefacts:
        fields["transfer"] = artefacts["transfer"].result
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
