"""Write a measured cell as a folder to ship: its exported model, its record and a model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.api import HarnessError
from harness.exports.beside import TOKENIZER_CONFIG
from harness.exports.weights import CODE, CONFIG, NAMES, REST, WEIGHTS, assemble
from harness.featurise.featuriser import FILE as FEATURISER
from harness.featurise.portable import FILE as TOKENIZER
from harness.report import card
from harness.report.html import demo
from harness.report.metadata import front_matter
from harness.results import selecting as rows
from harness.results.board import build
from harness.results.locate import results_of
from harness.results.ranking import Row, Table
from harness.results.record import Record
from harness.results.record import read as read_records
from harness.runtime.calibration import FILE as CALIBRATION
from harness.runtime.chain import FILE as CHAIN
from harness.runtime.forms import FORMS, LABELS, MANIFEST, SHIPPED, read_manifest
from harness.runtime.reading import DIGESTS, digests
from harness.storage import arrow
from harness.storage.files import dumps
from harness.storage.store import Artefact, Damaged, Store

RECORD, CARD = "record.json", "README.md"
_GRAPHS = "onnx"  # the folder of the graphs
_MOST_CONFUSED = 30  # classes in a table of confusion that is exported with a model
_FILES = {  # of exports
    *(RECORD, CARD, LABELS, MANIFEST, FEATURISER, CHAIN, CALIBRATION, *FORMS.values()),
    *(CONFIG, WEIGHTS, CODE, TOKENIZER, TOKENIZER_CONFIG, demo.FILE),
}
_NEW = ".new"  # the folder in which an export is written before it is moved to its place


def read(results: Path, suite: Path | None = None) -> list[Record]:
    """Return the records of a suite, or of all suites: for each cell, its latest record."""
    if suite is None:
        found = sorted(results.glob("*/records.jsonl"))
        if not found:
            raise HarnessError(f"cannot find any results in {results}/; run: harness bench SUITE")
    else:
        found = [results_of(suite, results) / "records.jsonl"]
    latest: dict[str, Record] = {}
    for path in found:
        for record in read_records(path):
            before = latest.get(record["cell"])
            if before is None or _finished(before) <= _finished(record):
                latest[record["cell"]] = record
    return list(latest.values())


def _finished(record: Record) -> str:
    return (record.get("provenance") or {}).get("finished") or ""


def choose(records: Sequence[Record], cell: str) -> Record:
    """Return the record of one cell.

    `cell` is the start of the cell's key, or a selector of a row such as student=mlp,loss=kl. Of the seeds of
    a row, the one with the best headline metric on the validation set is taken. Raise HarnessError if no row
    matches, or if several do.
    """
    if "=" not in cell:
        found = [record for record in records if record["cell"].startswith(cell)] if cell else []
        if len(found) == 1:
            return _sound(found[0])
        if found:
            told = ", ".join(record["cell"][: len(cell) + 4] + "…" for record in found[:5])
            raise HarnessError(
                f"'{cell}' matches the keys of {len(found)} cells: {told}; give more characters of the key"
            )
        raise HarnessError(
            f"no cell's key starts with '{cell}'; give the start of a key, or a selector such as "
            "student=mlp,loss=kl"
        )
    tables = build(records).tables
    wanted = rows.wanted_by(cell, tables)
    matching = [(table, row) for table in tables for row in rows.found_in(table, wanted)]
    if not matching:
        raise HarnessError(
            f"no row with a result matches '{cell}'; to list the rows: harness leaderboard SUITE"
        )
    if len(matching) > 1:
        several = {table.label + ", " + str(table.task.get("source")) for table, _ in matching}
        telling = (
            rows.telling([row for _, row in matching])
            if len(several) == 1
            else "; ".join(sorted(several)) + " (task=…, source=…)"
        )
        raise HarnessError(
            f"'{cell}' matches {len(matching)} rows, which differ in {telling}; add one of these to it"
        )
    return of_row(records, *matching[0])


def of_row(records: Sequence[Record], table: Table, row: Row) -> Record:
    """Return the record of a row's seed with the best headline metric on the validation set."""
    sign = -1 if table.lower_is_better() else 1
    cells = {record["cell"]: record for record in records}

    def validated(key: str) -> float:
        return sign * float((cells[key].get("validation") or {}).get(table.headline) or 0)

    return _sound(cells[max(row.cells, key=validated)])  # if several are equal, the first seed


def _sound(record: Record) -> Record:
    if record["status"] != "ok":
        raise HarnessError(
            f"cannot export cell {record['cell'][:12]}, which has no model: {record.get('reason')}"
        )
    return record


def write(
    record: Record,
    store: Store,
    folder: Path,
    again: str = "",
    form: str | None = None,
    licence: str = "",
    language: str = "",
    refitted: Record | None = None,
) -> dict[str, int]:
    """Copy the cell's export to `folder`, with its record and card; return the bytes of each file.

    `refitted` is the record of the same model, trained on more rows, whose weights are copied instead. Scores
    and thresholds stay those of `record`, which were measured on rows that its model had not seen.

    `form` names the only form to copy; None: all forms, and for a transformer the weights for Transformers.
    The card names the model's `licence` and the `language` of its texts, with the hub's codes.

    The folder must be new, empty, or an earlier export. All files are written to a temporary folder first, so
    that `folder` contains either the complete new export or the old one. Raise HarnessError if the model has
    no ONNX form or not this one, or is missing or damaged in the store; `again` says how to make it again.
    """
    again = again or f"run harness bench with the suite '{record['suite']}', then export again"
    found: dict[str, Any] = record.get("export") or {}  # type: ignore[assignment]
    if not found or "export" not in record.get("artefacts", {}):
        raise HarnessError(
            f"cannot export cell {record['cell'][:12]}: its model has no ONNX form, or its suite has "
            "latency = false; choose another cell, or set latency = true and run the suite again"
        )
    if not found["exported"]:
        raise HarnessError(f"cannot export cell {record['cell'][:12]}: {found['reason']}")
    measured = _stored(record, store, "export", again)
    source = refitted or record
    artefact = measured if refitted is None else _stored(refitted, store, "export", again)
    check_form(source, artefact.files, form)
    weighed = None
    if form is None and NAMES in artefact.files:
        kind = "student" if "student" in source["artefacts"] else "teacher"
        weighed = _stored(source, store, kind, again).folder / "model"
    check_place(folder)
    others = (set(FORMS.values()) - {FORMS[form]} if form is not None else set()) | {NAMES, REST}
    if weighed is None:
        others.add(CODE)
    copied = {name: SHIPPED.get(name, name) for name in sorted(set(artefact.files) - others)}
    written = [RECORD, CARD, *copied.values(), *([WEIGHTS] if weighed is not None else [])]
    new = folder / _NEW
    try:
        for name in written:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name, place in copied.items():
            shutil.copyfile(artefact.folder / name, new / place)
        if refitted is not None:
            _keep_thresholds(measured.folder, new)
            record = record | {"refitted": {name: refitted[name] for name in ("cell", "task", "artefacts")}}  # type: ignore[assignment]
        (new / RECORD).write_text(dumps(_brief(record)) + "\n", encoding="utf-8")
        if weighed is not None:
            assemble(weighed, artefact.folder, new / WEIGHTS)
            shutil.copymode(new / RECORD, new / WEIGHTS)  # safetensors lets nobody else read it
        labels = json.loads((new / LABELS).read_text(encoding="utf-8"))
        told = front_matter(record, written, licence, language) + card.text(record, labels)
        (new / CARD).write_text(told, encoding="utf-8")
        (folder / MANIFEST).unlink(missing_ok=True)  # a folder without it is not an export
        for stale in {*_FILES, *SHIPPED.values()} - set(written):
            (folder / stale).unlink(missing_ok=True)
        for name in sorted(written, key=lambda name: name == MANIFEST):
            (new / name).replace(folder / name)
        return {name: (folder / name).stat().st_size for name in written}
    except OSError as error:
        raise HarnessError(f"cannot write the export to {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
        with suppress(OSError):
            (folder / _GRAPHS).rmdir()  # if nothing is in it


def _brief(record: Record) -> dict[str, Any]:
    """Return a record without tables of confusion that would be large beside a small model."""
    short: dict[str, Any] = dict(record)
    for split in ("metrics", "validation"):
        found = short.get(split) or {}
        if len(found.get("confusion") or ()) > _MOST_CONFUSED:
            short[split] = {name: value for name, value in found.items() if name != "confusion"}
    return short


def _keep_thresholds(measured: Path, new: Path) -> None:
    """Give the files of a refitted model the thresholds of the model that was measured."""
    manifest = read_manifest(new)
    manifest["task_type"] = read_manifest(measured)["task_type"]
    if (measured / CALIBRATION).is_file():
        shutil.copyfile(measured / CALIBRATION, new / CALIBRATION)
        manifest[DIGESTS] |= digests(new, [CALIBRATION])
    (new / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def demonstrate(
    record: Record,
    store: Store,
    folder: Path,
    code: Mapping[str, bytes],
    form: str | None = None,
    examples: int = 6,
) -> int:
    """Write a page that runs the export in `folder`, and return its bytes.

    It shows as many `examples` of the test split, if the store still has the data. See
    :func:`harness.report.html.demo.write` for the other arguments and the errors.
    """
    key = record["artefacts"].get("data", "")
    texts: list[str] = []
    if examples and key and (data := store.look("data", key)) is not None:
        every = arrow.Texts(arrow.read(data.folder / "test.arrow")["text"])
        short = list(dict.fromkeys(text for text in every if len(text) <= demo.LONGEST))
        texts = [short[number * len(short) // examples] for number in range(min(examples, len(short)))]
    return demo.write(folder, record, code, texts, form)


def _stored(record: Record, store: Store, kind: str, again: str) -> Artefact:
    """Return an artefact of a cell, after verifying it. Raise HarnessError if it is missing or damaged."""
    key = record["artefacts"][kind]
    try:
        if store.find(kind, key) is None:
            raise HarnessError(
                f"cannot export cell {record['cell'][:12]}: its model is not in the store {store.root}; name "
                f"the right store with --store, or {again}"
            )
        return store.open(kind, key)
    except Damaged as damage:
        raise HarnessError(
            f"cannot export cell {record['cell'][:12]}: {damage.what}; it was set aside; to make it again, "
            f"{again}"
        ) from None


def check_form(record: Record, files: Container[str], form: str | None) -> None:
    """Raise HarnessError if an export, which has these files, does not have a form."""
    if form is None or FORMS[form] in files:
        return
    has = ", ".join(name for name, file in FORMS.items() if file in files)
    export: dict[str, Any] = record.get("export") or {}  # type: ignore[assignment]
    told: dict[str, Any] = export.get("forms", {}).get(form) or {}
    why = told.get("rejected") or f"it has: {has}"
    raise HarnessError(f"cannot export cell {record['cell'][:12]}: its model has no form '{form}': {why}")


def check_place(folder: Path) -> None:
    """Raise HarnessError unless the folder is new, empty, an earlier export or the rest of one."""
    if folder.exists() and not folder.is_dir():
        raise HarnessError(f"cannot export to {folder}: it is a file; name a folder")
    if not folder.is_dir() or (folder / MANIFEST).is_file():
        return
    if {path.name for path in folder.iterdir()} - _FILES - {_NEW, _GRAPHS}:
        raise HarnessError(f"cannot export to {folder}: it contains other files; name a new or empty folder")


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Upload an export to a model repository of the hub, which is made if necessary; return its address.

    Files of an earlier export that this one lacks are deleted there. Raise HarnessError if that fails.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    own = {*_FILES, *SHIPPED.values()}
    try:
        api = HfApi()
        made = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            commit_message="Upload an export of harness",
            allow_patterns=[name for name in files if name in own],
            delete_patterns=sorted(own),
        )
        return str(made)
    except HFValidationError as error:
        raise HarnessError(f"cannot upload {folder} to '{repository}': {error}") from None
    except Exception as error:  # of the hub, or of its client for HTTP
        refused = getattr(getattr(error, "response", None), "status_code", None) in (401, 403)
        if refused or type(error).__name__ == "LocalTokenNotFoundError":
            why = "the hub needs a token that may write there; run: hf auth login"
        else:
            lines = (line.strip() for line in str(error).splitlines())
            why = next(filter(None, lines), type(error).__name__)
        raise HarnessError(f"cannot upload {folder} to '{repository}': {why}") from None
