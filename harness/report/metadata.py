"""Write what hubs and programs read of a model card: YAML before its text."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from harness.catalog import installed_type
from harness.exports.weights import WEIGHTS
from harness.task_types.base import TaskType

Found = Mapping[str, Any]  # a record, which may lack any field

LICENCE = "other"  # the hub's word for a licence that is not in its list
_PINNED = re.compile(r"([^@\s]+)@([0-9a-f]+)(/\S*)?")  # see harness.sources.hub.HubSet
_METRICS = {  # the hub's names of metrics, if they are others
    "f1_macro": "f1",
    "f1_micro": "f1",
    "f1_samples": "f1",
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "masked_accuracy": "accuracy",
    "subset_accuracy": "accuracy",
}


def front_matter(record: Found, files: Collection[str], licence: str = "", language: str = "") -> str:
    """Return the YAML for the card of a record's model, between lines of dashes.

    `files` are the names of the files that are shipped. The YAML has the type of pipeline, the library, the
    licence, the language, the data set, the metrics, and the scores on the test split as ``model-index``.
    """
    from huggingface_hub import EvalResult, ModelCardData

    task = record["task"]
    task_type = installed_type(task["type"]) or TaskType()
    name = str((record.get("student") or record.get("teacher") or {}).get("name") or "model")
    pinned = _PINNED.fullmatch(str(task.get("origin"))) if task["source"] == "hub" else None
    scores = {
        metric: float(value)
        for metric, value in (record.get("metrics") or {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    results = [
        EvalResult(
            task_type=task_type.pipeline or task["type"],
            dataset_type=pinned[1] if pinned else task["name"],
            dataset_name=task["name"] + (" (generated sample corpus)" if task["source"] == "sample" else ""),
            dataset_revision=pinned[2] if pinned else None,
            dataset_split="test",
            metric_type=_METRICS.get(metric, metric),
            metric_name=task_type.metric(metric).title,
            metric_value=value,
        )
        for metric, value in scores.items()
    ]
    language = language or str((task.get("params") or {}).get("language") or "")
    shown = [metric for metric in (task.get("headline"), *task_type.beside) if metric in scores]
    data = ModelCardData(
        model_name=f"{name} for {task['name']}",
        eval_results=results or None,
        pipeline_tag=task_type.pipeline or None,
        library_name="transformers" if WEIGHTS in files else "onnx",
        license=licence or LICENCE,
        language=language or None,
        datasets=[pinned[1]] if pinned else None,
        metrics=list(dict.fromkeys(_METRICS.get(metric, metric) for metric in shown)) or None,
        tags=[*(["knowledge-distillation"] if record["role"] == "distilled" else []), "onnx"],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"
