"""Records, and folders that are shipped as ``harness export`` does, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import bundle
from harness.api import Model, TaskType
from harness.exports.quantise import quantise
from harness.results.record import Record
from harness.steps.export import _describe
from harness.storage.store import Store


def part(name: str, **params: Any) -> dict[str, Any]:
    return {"name": name, "params": params, "plugin": "tests 1.0", "version": 1}


def make(cell: str, role: str = "distilled", seed: int = 0, **fields: Any) -> Record:
    """A record; `validation` is a short way to its accuracy."""
    validation = fields.pop("validation", 0.5)
    record: dict[str, Any] = {
        "schema": 1,
        "suite": "s",
        "cell": cell,
        "status": "ok",
        "reason": None,
        "role": role,
        "task": {
            **part("moods"),
            "type": "classification",
            "headline": "accuracy",
            "source": "local",
            "origin": "a folder",
            "fingerprint": "f" * 20,
            "train": 100,
            "validation": 10,
            "test": 1234,
        },
        "teacher": part("large") if role != "baseline" else None,
        "student": part("small", width=3) if role != "teacher" else None,
        "augmenter": part("none") if role == "distilled" else None,
        "loss": part("kl", temperature=2.0) if role == "distilled" else None,
        "seed": seed,
        "metrics": {"accuracy": 0.75, "per_class": {}},
        "validation": {"accuracy": validation},
        "parameters": {"total": 80102, "trainable": 80102, "embedding": 80000},
        "cost": {"train_s": 1.5, "examples": 3000},
        "provenance": {"cpu": "a CPU", "finished": f"2026-01-01T00:00:{seed:02}", "packages": {"numpy": "2"}},
    }
    return record | fields  # type: ignore[return-value]


def ship(model: Model, folder: Path, task_type: TaskType, form: str | None = None) -> Path:
    """Return a folder with a model's export, as from the store of a run whose teacher it is."""
    store = Store(folder / "store")
    done = {"started": "2026", "finished": "2026", "seconds": 0.1}
    with store.workspace("m1") as place:
        (place / "model").mkdir()
        model.save(place / "model")
        store.publish("teacher", "m1", place, {}, done)
    with store.workspace("e1") as place:
        model.export(place)
        quantise(place)
        _describe(place, task_type)
        store.publish("export", "e1", place, {"exported": True}, done)
    record = make("aa", "teacher", artefacts={"teacher": "m1", "export": "e1"}, export={"exported": True})
    record["task"]["type"] = task_type.name
    bundle.write(record, store, folder / "out", form=form)
    return folder / "out"
