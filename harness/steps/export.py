"""Export a model, and check on real texts that each exported form makes the model's predictions.

An fp32 form that differs from its model is an error and fails the cell. Other forms may differ; if one loses
a point of the score or more, beyond chance, it is rejected: the reason is stored, and its file is deleted.
The forms are then timed beside each other, and the manifest ranks those that may answer by default, see
:mod:`harness.steps.shipping`.

If a model's answer to a text is a label, the thresholds at which it abstains are calibrated on the validation
split, for int8 by its own answers; see :mod:`harness.runtime.calibration`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Examples, HarnessError, TaskType, Unsupported, parameters_of
from harness.devices import cpu_info
from harness.parameters import frozen
from harness.runtime.calibration import FILE, RISKS, Calibration, abstains, judged, write
from harness.runtime.risk import observed, within
from harness.steps import data
from harness.steps.evaluation import answers_of
from harness.steps.shipping import differs, ranked, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.run.job import Job
    from harness.runtime.exported import Exported

# Number of texts of the test split to check with; FEWER for models with more than LARGE parameters.
TEXTS, FEWER, LARGE = 4096, 256, 1_000_000
SPARING = 16  # number of texts to find the products with that lose most in 8 bits
QUERIES = 256  # number of texts to time the forms with
CALIBRATED = 1000  # number of validation texts for the int8 form of such a large model
TOLERANCE = 1e-3  # largest difference of two logits, relative to their spread
CHANGED = 0.005  # largest share of predictions that may differ
LOST = 0.01  # loss of the score (accuracy, F1 or correlation) from which int8 is rejected
# Nats that int8 may add to the mean negative log-likelihood of hidden tokens; 0.05 is 5 % of the perplexity.
# Accuracy alone is not enough for a language model, whose users need all probabilities.
RISEN = 0.05


def run(job: Job) -> dict[str, Any]:
    """Return `exported` and a report on each of its `forms`, or the `reason` why there is no export.

    The report on a form has the result of the task type's ``parity``, its `file_bytes`, `size_bytes`, which
    includes the files that it needs, and its times on one thread. `order` has the forms that may answer by
    default, the best first, and `why` says why it is the best. `abstaining` has the thresholds for some
    risks, and what they give on the test split. Raise HarnessError if an fp32 form is not equal to the model.
    """
    from harness.exports.onnx import GRAPH  # imported here also because the step's key must cover it
    from harness.exports.weights import TORCH
    from harness.runtime.forms import EXACT, FORMS, open_form

    model = job.model()
    try:
        model.export(job.folder)
    except Unsupported as error:
        for path in job.folder.iterdir():
            path.unlink()
        return {"exported": False, "reason": str(error)}
    large = model.parameters().total > LARGE
    rejected = _derive(job, large)
    count = FEWER if large else TEXTS
    task_type = job.task_type
    if job.has("evaluation") and (chosen := job.need("evaluation").result.get("decision")):
        task_type = replace(task_type, **{name: frozen(value) for name, value in chosen.items()})
    examples = _first(data.load(job.need("data"), "test", task_type), count)
    compare = task_type.parity(model, examples)
    _describe(job.folder, task_type)
    files = {path.name: path.stat().st_size for path in job.folder.iterdir()}
    beside = sum(size for name, size in files.items() if name not in FORMS.values() and name not in TORCH)
    forms: dict[str, Any] = {}
    opened: dict[str, Exported] = {}
    for form, file in FORMS.items():
        if file not in files:
            continue
        opened[form] = open_form(job.folder, form, job.threads)
        compared = compare(opened[form])
        if form == "onnx-int8" and large and differs(compared):
            opened[form], compared = _gentler(job, compare, opened[form], compared)
            files[file] = (job.folder / file).stat().st_size
        if form not in EXACT:
            if why := too_much_lost(compared):
                rejected[form] = compared["rejected"] = why
                (job.folder / file).unlink()
                del opened[form]
        elif not is_same(compared):
            raise HarnessError(
                f"the ONNX export of '{job.learner.name}' differs from the model"
                f"{'' if file == GRAPH else f' in its form {form!r}'}: {compared['changed']} of "
                f"{compared['outputs']} predictions changed, and logits differ by up to "
                f"{compared['difference']:.2g}; report it to the author of the component"
            )
        forms[form] = {**compared, "file_bytes": files[file], "size_bytes": files[file] + beside}
    for form, why in rejected.items():
        forms.setdefault(form, {"rejected": why})
    on_cpu = {form: opened[form] for form in opened if form != "onnx-fp16"}
    for form, times in timed(on_cpu, task_type.queries(examples.texts[:QUERIES])).items():
        forms[form] |= times
    ranking = ranked(forms)
    plain = ("texts", "changed", "difference", "size_bytes")
    result = {
        "exported": True,
        **{name: forms["onnx"][name] for name in plain},
        "forms": forms,
        **ranking._asdict(),
    }
    if job.has("evaluation") and abstains(task_type):
        most = CALIBRATED if count == FEWER else TEXTS
        result["abstaining"] = _calibrated(job, task_type, opened, most)
    # Reasons are for whoever asks for a rejected form.
    told = {form: _brief(report) for form, report in forms.items() if "rejected" not in report}
    about = {"forms": told, "cpu": cpu_info()[0], **ranking._asdict()}
    _describe(job.folder, task_type, **about, **({"rejected": rejected} if rejected else {}))
    return result


def _derive(job: Job, large: bool) -> dict[str, str]:
    """Write the forms that are made from the graph; return the reasons why others cannot be made."""
    from harness.exports import quantise, vino
    from harness.featurise.featuriser import Featuriser

    rejected: dict[str, str] = {}
    makers: dict[str, Callable[[], None]] = {"onnx-int8": lambda: quantise.quantise(job.folder)}
    if large:  # for a small model, neither would be faster
        makers["onnx-fp16"] = lambda: quantise.halve(job.folder)
        featuriser = Featuriser.load(job.folder)
        if vino.possible(featuriser):
            texts = _training_texts(job, vino.TEXTS)
            makers["openvino-int8"] = lambda: vino.quantise(job.folder, featuriser, texts)
    for form, make in makers.items():
        try:
            make()
        except Unsupported as error:
            rejected[form] = str(error)
    return rejected


def _training_texts(job: Job, most: int) -> list[str]:
    """Return at most `most` training texts, evenly spaced."""
    train = data.load(job.need("data"), "train", job.task_type)
    rows = np.unique(np.linspace(0, len(train) - 1, min(most, len(train))).astype(np.int64))
    return [train.texts[row] for row in rows.tolist()]


def _gentler(
    job: Job, compare: Callable[[Any], dict[str, Any]], model: Exported, compared: dict[str, Any]
) -> tuple[Exported, dict[str, Any]]:
    """Quantise again without the products that lose most; return the better form and its comparison."""
    from harness.exports import quantise, sensitivity
    from harness.featurise.featuriser import Featuriser
    from harness.runtime.forms import INT8, open_form

    path = job.folder / INT8
    before = path.read_bytes()
    texts = _training_texts(job, SPARING)
    spared = sensitivity.worst(job.folder, Featuriser.load(job.folder), texts)
    try:
        quantise.quantise(job.folder, spared)
        other = open_form(job.folder, "onnx-int8", job.threads)
        found = compare(other)
        if found["changed"] < compared["changed"] and found["lost"] <= compared["lost"]:
            return other, {**found, "spared": spared}
    except Unsupported:
        pass
    path.write_bytes(before)
    return model, compared


def _brief(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest has of a form's report."""
    names = ("texts", "outputs", "changed", "score", "lost", "risen", "p50_ms", "samples_per_s")
    return {name: report[name] for name in names if name in report}


def _calibrated(job: Job, task_type: TaskType, forms: Mapping[str, Exported], most: int) -> dict[str, Any]:
    """Write the thresholds at which the forms abstain; return what they give on the test split.

    fp16 counts as giving the model's own answers. Forms in 8 bits answer at most `most` validation texts.
    """
    source, evaluation = job.need("data"), job.need("evaluation")

    def of_model(split: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        labels = data.load(source, split, task_type).labels
        assert labels is not None
        return judged(task_type, answers_of(evaluation, split)["logits"], labels)

    coarse = [form for form in forms if form.endswith("-int8")]
    tables = [Calibration.of([form for form in forms if form not in coarse], *of_model("validation"))]
    for form in coarse:
        held = data.load(source, "validation", task_type)
        assert held.labels is not None
        rows = np.unique(np.linspace(0, len(held) - 1, min(most, len(held))).astype(np.int64))
        logits = forms[form].predict([held.texts[row] for row in rows.tolist()])
        tables.append(Calibration.of([form], *judged(task_type, logits, held.labels[rows])))
    write(job.folder, tables, "validation")
    shown, tested = [], of_model("test")
    for risk in RISKS:
        if (point := within(tables[0].points, risk)) is not None:
            coverage, error = observed(*tested, point.threshold)
            about = {"threshold": point.threshold, "validation_coverage": point.coverage}
            shown.append({"risk": risk, **about, "test_coverage": coverage, "test_error": error})
    least = min((point.risk for point in tables[0].points), default=None)
    return {"texts": tables[0].texts, "lowest_risk": least, "points": shown}


def _first(examples: Examples, count: int) -> Examples:
    """Return the first `count` examples."""
    texts, labels = examples.texts[:count], examples.labels
    if labels is not None:
        labels = labels[: int(examples.task_type.rows_before(texts)[-1])]
    return replace(examples, texts=texts, labels=labels)


def _describe(folder: Path, task_type: TaskType, **more: Any) -> None:
    """Add the task type, the digests of the files, and more fields to the manifest.

    A plugin's export may have no manifest yet. A configuration of Transformers gets the type of problem.
    """
    from harness.exports.weights import CONFIG
    from harness.runtime.forms import MANIFEST, SEALED, read_manifest
    from harness.runtime.reading import DIGESTS, digests

    path = folder / MANIFEST
    found = read_manifest(folder) if path.is_file() else {"format": 1}
    options = parameters_of(task_type)
    known = {"name": task_type.name, "module": type(task_type).__module__, "options": options}
    more[DIGESTS] = digests(folder, [name for name in (*SEALED, FILE) if (folder / name).is_file()])
    path.write_text(json.dumps({**found, "task_type": known, **more}), encoding="utf-8")
    if task_type.problem and (config := folder / CONFIG).is_file():
        told = {**json.loads(config.read_text(encoding="utf-8")), "problem_type": task_type.problem}
        config.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def is_same(compared: dict[str, Any]) -> bool:
    """Return whether an fp32 form is equal to the model, within the tolerances."""
    # A difference of NaN must fail too, hence this form of the comparison.
    close = compared["difference"] <= TOLERANCE * compared["spread"]
    return bool(close and compared["changed"] <= CHANGED * compared["outputs"])


def too_much_lost(compared: dict[str, Any]) -> str:
    """Return why an int8 form is rejected; "" if it is not."""
    lost, error = compared["lost"], compared["error"]
    if not np.isfinite(compared["difference"]):
        return "its outputs are NaN or infinite"
    if lost >= LOST and lost > 2 * error:
        return (
            f"it loses {100 * lost:.1f} points of the score on {compared['texts']} texts; "
            f"allowed: less than {100 * LOST:.0f}"
        )
    if (risen := compared.get("risen", 0.0)) > RISEN + 2 * compared.get("risen_error", 0.0):
        return (
            f"its mean negative log-likelihood is {risen:.2f} nats higher on {compared['texts']} texts; "
            f"allowed: {RISEN}"
        )
    return ""
