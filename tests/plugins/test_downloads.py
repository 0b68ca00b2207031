"""Downloads of models and data sets from a hub on this machine, as users see them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import pytest
from components import call_without_workers
from local_hub import COMMIT, LocalHub

from harness import catalog
from harness.results.record import Record, read
from harness.sources import DatasetTask
from harness_transformers.checkpoint import Checkpoint

Folder = Callable[[str], Path]
OTHER = "f" * 40
# Prints the answers, or errors, of Python expressions as JSON.
ASK = """
import json, sys
from harness import HarnessError, catalog
from harness.sources.downloads import telling
from harness_transformers.transformer import Transformer
from harness_transformers.weights import hub_commit, hub_snapshot
installed, found, told = catalog.load(), [], []
with telling(told.append):
    for question in json.loads(sys.argv[1]):
        try:
            found.append(eval(question))
        except HarnessError as error:
            found.append(f"{type(error).__name__}: {error}")
print(json.dumps({"found": found, "told": told}, default=str))
"""
# Reads every task of the hub.
READ = """
import json
from harness import catalog
from harness.sources import DatasetTask
installed, found = catalog.load(), {}
for (kind, name), entry in sorted(installed.entries.items()):
    if kind == "task" and issubclass(entry.component, DatasetTask) and getattr(entry.component, "hub", None):
        if name not in ("hub", "hub-regression"):
            task = installed.build("task", {"use": name})
            source = task.resolve("hub")
            tables = task.read(source)
            rows = {split: table.num_rows for split, table in tables.items()}
            found[name] = [source.name, source.origin, rows]
print(json.dumps(found))
"""


def run(hub: LocalHub, home: Path, code: str, *arguments: str, **more: str) -> Any:
    """The JSON that Python code prints in a process that uses the hub."""
    environment = {**os.environ, **hub.variables(home, **more)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def ask(hub: LocalHub, home: Path, *questions: str, **more: str) -> tuple[list[Any], list[str]]:
    """The answers to questions, and what was told meanwhile."""
    answer = run(hub, home, ASK, json.dumps(questions), **more)
    return answer["found"], answer["told"]


# -- models -----------------------------------------------------------------------------------------------


PRESETS = {
    name: entry.component
    for (kind, name), entry in catalog.load().entries.items()
    if kind == "teacher" and isinstance(getattr(entry.component, "model", None), str)
}


def test_every_preset_is_downloaded_at_its_revision_and_used_offline(
    hub: LocalHub, folder_of: Folder, tmp_path: Path
) -> None:
    assert len(PRESETS) == 12
    for preset in PRESETS.values():
        about: Any = preset
        kind = "classifier" if issubclass(about, Checkpoint) else "t5" if "t5" in about.model else "bert"
        files = {path.name: path.read_bytes() for path in folder_of(kind).iterdir()}
        more = {"README.md": b"# A model", "onnx/model.onnx": b"not needed"}
        hub.add("models", about.model, files | more, commit=about.revision)
    questions = [f"installed.build('teacher', {{'use': '{name}'}}).base()" for name in PRESETS]
    folders = [
        f"getattr({built}, '_weights', {built}).folder()"
        for built in (question.removesuffix(".base()") for question in questions)
    ]
    found, told = ask(hub, tmp_path, *questions, *folders)
    assert found[: len(PRESETS)] == [preset.revision for preset in PRESETS.values()]
    for place, preset in zip(found[len(PRESETS) :], PRESETS.values(), strict=True):
        assert {path.name for path in Path(place).iterdir()} >= {"config.json", "model.safetensors"}
        assert Path(place).name == preset.revision and not (Path(place) / "README.md").exists()
    assert len(told) == len(PRESETS)
    assert all(line.endswith(f" from {hub.url}") and " kB) " in line for line in told), told
    assert not hub.asked("onnx")
    before = len(hub.requests)
    assert ask(hub, tmp_path, *questions, *folders, HF_HUB_OFFLINE="1") == (found, [])
    assert len(hub.requests) == before


@pytest.fixture
def models(hub: LocalHub, folder_of: Folder) -> LocalHub:
    """A hub with a model for everybody, a gated one, a private one, and one with pickled weights."""
    for name, about in {
        "owner/open": {},
        "owner/gated": {"gated": True},
        "owner/own": {"private": True},
    }.items():
        hub.add("models", name, folder_of("bert"), **about)
    hub.tokens = {"mine": frozenset({"owner/gated", "owner/own"}), "other": frozenset()}
    return hub


def test_refusals_are_told_in_one_line_with_the_remedy(models: LocalHub, tmp_path: Path) -> None:
    ids = {"owner/missing": "main", "owner/gated": "main", "owner/own": "main", "owner/open": "v9"}
    questions = [
        f"{ask}({name!r}, {at!r})" for name, at in ids.items() for ask in ("hub_commit", "hub_snapshot")
    ]
    absent = "there is none of this name, or it is private; check the name, or log in with `hf auth login`"
    page = f"{models.url}/owner/gated"
    for token, whys in {
        "": [absent, f"it is gated; ask for access at {page}, then log in with `hf auth login`", absent],
        "other": [
            absent,
            f"it is gated, and your account has no access to it yet; ask for access at {page}",
            absent,
        ],
        "mine": [absent, "", ""],
        "stale": ["the hub refuses your token; log in again with `hf auth login`"] * 4,
    }.items():
        found, _ = ask(models, tmp_path / (token or "nobody"), *questions, HF_TOKEN=token)
        whys = [*whys, f"it has no such revision; see {models.url}/owner/open/commits/main"][:4]
        for place, (name, at) in enumerate(ids.items()):
            commit, snapshot = found[2 * place : 2 * place + 2]
            if not whys[place]:
                assert commit == COMMIT and Path(snapshot).name == COMMIT
                continue
            where = f"model '{name}'" + (f" at revision '{at}'" if at != "main" else "")
            assert commit == f"Unavailable: cannot get {where} from the hub: {whys[place]}"
            assert snapshot == f"Unavailable: cannot download model '{name}': {whys[place]}"


def test_a_hub_that_limits_requests_is_waited_for(models: LocalHub, tmp_path: Path) -> None:
    models.fail("/api/models/owner/open", 429, times=2, Retry_After="1")
    models.fail("/cdn/.*/model.safetensors", 429, times=1, Retry_After="1")
    (commit, folder), told = ask(
        models, tmp_path, *(f"{what}('owner/open', 'main')" for what in ("hub_commit", "hub_snapshot"))
    )
    assert commit == COMMIT and (Path(folder) / "model.safetensors").exists()
    assert told[:2] == ["the hub limits requests: trying again in 1 s"] * 2
    assert told[2].startswith("downloading model 'owner/open' (")


def test_a_hub_that_asks_for_too_long_a_wait_is_not_waited_for(models: LocalHub, tmp_path: Path) -> None:
    models.fail("/api/models/owner/open", 429, Retry_After="600")
    models.fail("/api/models/owner/own", 503)
    (limited, failing), told = ask(
        models, tmp_path, *(f"hub_snapshot('owner/{name}', 'main')" for name in ("open", "own"))
    )
    assert limited == (
        "Unavailable: cannot download model 'owner/open': it limits requests; try again in 10 min, "
        "or log in with `hf auth login` for a higher limit"
    )
    assert "owner/own': it fails (HTTP status 503); try again later" in failing
    assert not told and len(models.asked("owner/open")) == 1


def test_a_broken_download_is_continued(hub: LocalHub, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in pretrained.make("bert", tmp_path / "made").iterdir()}
    weights = _padded(files["model.safetensors"], 24_000_000)  # the library keeps pieces of 10 MB
    hub.add("models", "owner/large", files | {"model.safetensors": weights})
    hub.cut("/model.safetensors", after=15_000_000)
    (folder,), told = ask(hub, tmp_path / "home", "hub_snapshot('owner/large', 'main')")
    assert (Path(folder) / "model.safetensors").read_bytes() == weights
    whole, *continued = hub.asked("/cdn/.*/model.safetensors", "GET")
    starts = [int(one[2].removeprefix("bytes=").removesuffix("-")) for one in continued]
    assert whole[2] == "" and starts and all(10_000_000 <= start < 24_000_000 for start in starts)
    assert told[0] == f"downloading model 'owner/large' (24.0 MB) from {hub.url}"


def test_a_download_that_broke_off_keeps_the_files_that_arrived(models: LocalHub, tmp_path: Path) -> None:
    models.cut("/model.safetensors", after=0, times=1000)
    (broken,), _ = ask(models, tmp_path, "hub_snapshot('owner/open', 'main')")
    assert broken == (
        "Unavailable: cannot download model 'owner/open': the connection broke off; "
        "run the same command again: files that have arrived are kept"
    )
    assert models.asked("/resolve/.*/tokenizer.json", "GET")
    del models.requests[:], models.faults[:]
    (folder,), _ = ask(models, tmp_path, "hub_snapshot('owner/open', 'main')")
    assert (Path(folder) / "model.safetensors").is_file()
    assert not models.asked("/resolve/.*/tokenizer.json", "GET")


def _padded(data: bytes, size: int) -> bytes:
    """Weights in safetensors with one more tensor, so that they have about this size."""
    from safetensors.numpy import load, save

    more = np.random.default_rng(0).random(size // 4, dtype=np.float32)
    return save({**load(data), "more": more}, {"format": "pt"})


# -- data sets --------------------------------------------------------------------------------------------


def columns(task: Any) -> dict[str, Any]:
    """A few rows for a task, by column, and the features of the columns."""
    import datasets

    rows = 24
    texts = {
        name: [f"{name} has many words in row {n}" for n in range(rows)]
        for name in (task.hub.text, getattr(task, "second_column", ""))
    }
    texts.pop("", None)
    if task.task_type == "tagging":
        names = ["O", "B-person", "I-person"]
        label = datasets.Sequence(datasets.ClassLabel(names=names)), [[0, 1, 2]] * rows
        texts = {task.hub.text: [["a", "b", str(n)] for n in range(rows)]}
    elif task.task_type == "multi-label":
        label = datasets.Sequence(datasets.ClassLabel(names=["joy", "anger"])), [[n % 2] for n in range(rows)]
    elif task.task_type == "regression":
        label = datasets.Value("float32"), [n % 5 for n in range(rows)]
    else:
        names = list(task.class_names) or ["sadness", "joy"]
        label = datasets.ClassLabel(names=names), [n % len(names) for n in range(rows)]
    kind = (
        datasets.Sequence(datasets.Value("string"))
        if task.task_type == "tagging"
        else datasets.Value("string")
    )
    features = dict.fromkeys(texts, kind) | {task.hub.label: label[0]}
    return {"data": {**texts, task.hub.label: label[1]}, "features": features}


def parquet(data: Mapping[str, Any], features: Mapping[str, Any]) -> bytes:
    import datasets

    stream = io.BytesIO()
    datasets.Dataset.from_dict(dict(data), features=datasets.Features(dict(features))).to_parquet(stream)
    return stream.getvalue()


def card(configs: Mapping[str, list[str]]) -> bytes:
    """A data set's card, which tells the files of each configuration's splits."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    return "\n".join([*lines, "---", ""]).encode()


def test_every_task_of_the_hub_is_read_at_its_revision_and_offline(hub: LocalHub, tmp_path: Path) -> None:
    installed = catalog.load()
    tasks: dict[str, Any] = {
        name: installed.build("task", {"use": name})
        for (kind, name), entry in installed.entries.items()
        if kind == "task" and name not in ("hub", "hub-regression")
        if issubclass(entry.component, DatasetTask) and getattr(entry.component, "hub", None) is not None
    }
    assert len(tasks) >= 12
    files: dict[tuple[str, str], dict[str, bytes]] = defaultdict(dict)
    configs: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(dict)
    for about in tasks.values():
        place = about.hub.id, about.hub.revision
        made = columns(about)
        configs[place][about.hub.config] = list(about.hub.splits.values())
        for split in about.hub.splits.values():
            files[place][f"{about.hub.config}/{split}-00000-of-00001.parquet"] = parquet(**made)
    for (name, revision), found in files.items():
        hub.add("datasets", name, found | {"README.md": card(configs[name, revision])}, commit=revision)
    read_ones = run(hub, tmp_path, READ)
    assert set(read_ones) == set(tasks)
    for name, (source, origin, rows) in read_ones.items():
        about = tasks[name]
        assert source == "hub" and origin == str(about.hub)
        assert set(rows) >= {"train", "validation", "test"} and all(rows.values()), (name, rows)
    before = len(hub.requests)
    assert run(hub, tmp_path, READ, HF_HUB_OFFLINE="1") == read_ones
    assert len(hub.requests) == before


# -- a run ------------------------------------------------------------------------------------------------

SUITE = """
[suite]
name = "downloads"
latency = false
precision = "fp32"

[[task]]
use = "hub"
id = "owner/moods"
revision = "{commit}"

[[task]]
use = "hub"
id = "owner/secret"
revision = "{commit}"

[[task]]
use = "hub"
id = "owner/nowhere"
revision = "{commit}"

[[task]]
use = "hub"
id = "owner/moods"
revision = "{other}"

[[teacher]]
use = "transformer"
model = "owner/open"
epochs = 1

[[teacher]]
use = "transformer"
model = "owner/gated"
epochs = 1

[[teacher]]
use = "transformer"
model = "owner/missing"
epochs = 1

[[student]]
use = "mlp"
epochs = 1
min_examples = 0

[[loss]]
use = "kl"
"""


def test_a_run_goes_on_without_what_the_hub_refuses(
    models: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    label = datasets.ClassLabel(names=["sun", "rain"])
    features = {"text": datasets.Value("string"), "label": label}
    data = {
        "text": [f"the sun {n}" if n % 2 else f"the rain {n}" for n in range(40)],
        "label": [n % 2 for n in range(40)],
    }
    files = {f"{split}.parquet": parquet(data, features) for split in ("train", "validation", "test")}
    models.add("datasets", "owner/moods", files)
    models.add("datasets", "owner/secret", files, gated=True)
    (tmp_path / "suite.toml").write_text(SUITE.format(commit=COMMIT, other=OTHER))
    for name, value in models.variables(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    command = ("bench", "suite.toml", "--source", "hub")
    done = call_without_workers(tmp_path, *command, "--store", "store")
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Traceback" not in said, said
    assert (
        "downloading model 'owner/open' (" in said
        and f"downloading data set 'owner/moods' from {models.url}" in said
    )
    records = read(tmp_path / "results" / "downloads" / "records.jsonl")
    assert len(records) == 4 * (3 + 1 + 3)
    reasons = defaultdict(set)
    for record in records:
        assert "\n" not in (record.get("reason") or "")
        reasons[place(record)].add((record["status"], record.get("reason") or ""))
    moods, secret, nowhere = "owner/moods", "owner/secret", "owner/nowhere"
    assert reasons[moods, COMMIT, "owner/open"] == reasons[moods, COMMIT, None] == {("ok", "")}
    gated = f"cannot get model 'owner/gated' from the hub: it is gated; ask for access at {models.url}/owner/"
    ((status, reason),) = reasons[moods, COMMIT, "owner/gated"]
    assert status == "unavailable" and reason.startswith(gated)
    ((status, reason),) = reasons[moods, COMMIT, "owner/missing"]
    assert status == "unavailable" and "there is none of this name, or it is private" in reason
    for (name, commit), why in {
        (secret, COMMIT): f"it is gated; ask for access at {models.url}/datasets/owner/secret, then log in",
        (nowhere, COMMIT): "there is none of this name, or it is private; check the name",
        (moods, OTHER): f"it has no such revision; see {models.url}/datasets/owner/moods/commits/main",
    }.items():
        ((status, reason),) = reasons[name, commit, None]
        assert (
            status == "unavailable"
            and f"cannot download data set {name}@{commit}" in reason
            and why in reason
        )
    (okay,) = (one for one in records if one["role"] == "teacher" and one["status"] == "ok")
    assert okay["teacher"] is not None and okay["teacher"]["base"] == COMMIT

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    del models.requests[:]
    done = call_without_workers(tmp_path, *command, "--store", "other", "--results", "again")
    assert done.returncode == 0 and not models.requests
    again = read(tmp_path / "again" / "downloads" / "records.jsonl")
    assert (
        sum(record["status"] == "ok" for record in again)
        == sum(record["status"] == "ok" for record in records)
        == 3
    )


def place(record: Record) -> tuple[Any, ...]:
    """The data set, its revision and the teacher's model of a record."""
    task = record["task"]["params"]
    teacher = record.get("teacher")
    return task["id"], task["revision"], teacher and teacher["params"]["model"]
