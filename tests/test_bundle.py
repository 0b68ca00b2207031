"""The right cell is chosen, its export is copied with a card and a record, and nothing else is touched."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_stand_in import hub
from shipped import make

from harness import bundle
from harness.api import HarnessError
from harness.exports.onnx import export_module
from harness.exports.quantise import quantise
from harness.featurise.featuriser import Words
from harness.results.record import write
from harness.runtime.forms import load
from harness.storage.store import Store
from harness_students.modules import AveragedWords


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one export, "e1", whose int8 form was rejected in "e2"."""
    torch.manual_seed(0)
    words = Words(["sun", "rain"], 8)
    made = {"started": "2026", "finished": "2026", "seconds": 0.1}
    kept = Store(tmp_path / "store")
    for key in ("e1", "e2"):
        with kept.workspace(key) as folder:
            export_module(AveragedWords(words.size, 3, 0, 2, 0.0, 1.0), words, ["bad", "go*od*"], folder)
            if key == "e1":
                quantise(folder)
            kept.publish("export", key, folder, {"exported": True}, made)
    return kept


def exported(key: str = "e1", **int8: Any) -> dict[str, Any]:
    """What the record of a cell with an export says of it."""
    found = {"file_bytes": 1000, "size_bytes": 2000, "changed": 3, "texts": 512}
    single = {
        "backend": "numpy",
        "device": "cpu",
        "threads": 1,
        "scenario": "single-stream",
        "batch": 1,
        "n": 70,
        "p50_ms": 0.0093,
        "p90_ms": 0.015,
        "p99_ms": None,
        "tokenising_ms": 0.004,
    }
    offline = {**single, "scenario": "offline", "samples_per_s": 76200.0}
    return {
        "artefacts": {"export": key},
        "export": {"exported": True, "forms": {"numpy": found, "onnx": found, "onnx-int8": int8 or found}},
        "latency": [{**single, "threads": 8, "p50_ms": 7.0}, single, offline],
    }


# -- choosing ----------------------------------------------------------------------------------------------


RECORDS = [
    make("aa11", seed=0, validation=0.5),
    make("ab22", seed=1, validation=0.9),
    make("ac33", seed=2, validation=0.9),
    make("b444", "baseline"),
    make("c555", "teacher"),
    make("d666", status="failed", reason="it broke", seed=3, metrics={}),
]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("aa", "aa11"),
        ("b444", "b444"),
        ("student=small,loss=kl", "ab22"),  # the best on validation; of equals the first seed
        ("role=baseline", "b444"),
        ("role=teacher", "c555"),
        ("student=small,role=distilled,source=local", "ab22"),
    ],
)
def test_a_cell_is_chosen(cell: str, expected: str) -> None:
    assert bundle.choose(RECORDS, cell)["cell"] == expected


def test_of_errors_the_lowest_is_best() -> None:
    scored = [make(f"{n}", seed=n, validation=0.0) for n in range(3)]
    for record, error in zip(scored, (3.0, 1.0, 2.0), strict=True):
        record["task"] |= {"type": "regression", "headline": "mse"}
        record["metrics"] = record["validation"] = {"mse": error}
    assert bundle.choose(scored, "student=small")["cell"] == "1"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("a", "'a' matches the keys of 3 cells: aa11…, ab22…, ac33…; give more characters of the key"),
        (
            "zz",
            "no cell's key starts with 'zz'; give the start of a key, or a selector such as",
        ),
        ("", "no cell's key starts with ''"),
        ("d6", "cannot export cell d666, which has no model: it broke"),
        ("student=smal", "there is no student 'smal' in these results; did you mean 'small'?"),
        ("studnt=small", "did you mean 'student'?"),
        (
            "student=small",
            "'student=small' matches 2 rows, which differ in role=baseline, role=distilled",
        ),
        (
            "role=teacher,student=small",
            "no row with a result matches 'role=teacher,student=small'; to list the rows: harness",
        ),
    ],
)
def test_what_names_no_cell_or_several(cell: str, message: str) -> None:
    with pytest.raises(HarnessError, match=re.escape(message)):
        bundle.choose(RECORDS, cell)


def test_data_are_told_apart() -> None:
    sample = make("ee", seed=0)
    sample["task"] = {**sample["task"], "source": "sample", "fingerprint": "g"}
    records = [make("aa"), sample]
    with pytest.raises(HarnessError, match=r"moods, local; moods, sample \(task=…, source=…\)"):
        bundle.choose(records, "student=small")
    assert bundle.choose(records, "student=small,source=sample")["cell"] == "ee"


def test_records_of_all_suites_are_read_each_cell_once(tmp_path: Path) -> None:
    old, new = make("aa", suite="one"), make("aa", suite="two")
    new["provenance"]["finished"] = "2027"
    write([old, make("bb", suite="one", seed=1)], tmp_path / "one" / "records.jsonl")
    write([new], tmp_path / "two" / "records.jsonl")
    assert {r["cell"]: r["suite"] for r in bundle.read(tmp_path)} == {"aa": "two", "bb": "one"}
    for suite in (Path("one"), Path("suites/one.toml"), tmp_path / "one"):
        assert {r["suite"] for r in bundle.read(tmp_path, suite)} == {"one"}
    with pytest.raises(HarnessError, match="there are no results of 'three'"):
        bundle.read(tmp_path, Path("three"))
    with pytest.raises(HarnessError, match="cannot find any results in"):
        bundle.read(tmp_path / "nothing")


# -- writing -----------------------------------------------------------------------------------------------


def test_what_is_written(store: Store, tmp_path: Path) -> None:
    record = make("aa", **exported())
    files = bundle.write(record, store, tmp_path / "new" / "out")
    out = tmp_path / "new" / "out"
    found = [path for path in out.rglob("*") if path.is_file()]
    assert files == {path.relative_to(out).as_posix(): path.stat().st_size for path in found}
    assert set(files) == {
        *("README.md", "record.json", "onnx/model.onnx", "onnx/model_quantized.onnx", "averaged.npz"),
        *("featuriser.json", "labels.json", "export.json", "tokenizer.json", "tokenizer_config.json"),
    }
    assert json.loads((out / "record.json").read_text()) == record
    assert load(out).label("sun") in ("bad", "go*od*")
    card = (out / "README.md").read_text()
    assert card.startswith("---\n") and "\n---\n\n# small for moods\n" in card
    assert "A `small` distilled from a `large`, with the loss `kl`" in card and "80,102 parameters" in card
    assert r"Labels: bad, go\*od\*." in card  # no Markdown of others
    assert "| `averaged.npz`: NumPy | 1.00 kB | 2.00 kB | 3 of 512 | 0.00930 | 0.0150 | too few " in card
    assert "| 76,200 |" in card and "| accuracy | 0.750 | 0.500 |" in card
    assert "macro F1: the mean of the classes' F1" in card
    assert "1,234 test texts" in card and "temperature = 2.0" in card and "numpy 2" in card


def test_thresholds_are_on_the_card(store: Store, tmp_path: Path) -> None:
    about = {"threshold": 0.876543, "validation_coverage": 0.75, "test_coverage": 0.7, "test_error": 0.0412}
    found = {"texts": 1000, "lowest_risk": 0.02, "points": [{"risk": 0.05, **about}]}
    record = make("aa", **exported())
    record["export"] |= {"abstaining": found}  # type: ignore[operator]
    bundle.write(record, store, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| 5% | 0.877 | 75% | 70% | 4.12% |" in card
    assert "`harness predict . rows.csv --abstain 5%` leaves" in card and "1,000 validation texts" in card
    assert "The lowest error that can be kept is 2%." in card
    record["export"] |= {"abstaining": {"texts": 10, "lowest_risk": 0.3, "points": []}}  # type: ignore[operator]
    bundle.write(record, store, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "--abstain 30%`" in card and "allowed error" not in card


def test_an_earlier_export_is_replaced_whole(store: Store, tmp_path: Path) -> None:
    bundle.write(make("aa", **exported()), store, tmp_path / "out")
    why = "it loses 3.0 points"
    (tmp_path / "out" / "calibration.json").write_text("of the earlier one")
    bundle.write(make("aa", **exported("e2", rejected=why)), store, tmp_path / "out")
    assert not (tmp_path / "out" / "calibration.json").exists()
    assert not (tmp_path / "out" / "onnx" / "model_quantized.onnx").exists()
    assert f"was rejected: {why}." in (tmp_path / "out" / "README.md").read_text()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_leaves_the_earlier_export_or_nothing(
    earlier: bool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, copied = tmp_path / "out", []
    if earlier:
        bundle.write(make("aa", **exported()), store, out)
    before = contents(out)

    def fill(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr(bundle.shutil, "copyfile", fill)  # type: ignore[attr-defined]
        with pytest.raises(HarnessError, match="No space left on device"):
            bundle.write(make("bb", **exported("e2", rejected="of a reason")), store, out)
    assert contents(out) == before
    bundle.write(make("bb", **exported("e2", rejected="of a reason")), store, out)
    assert json.loads((out / "record.json").read_text())["cell"] == "bb"


def test_an_export_that_was_killed_is_made_anew(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bundle.write(make("aa", **exported()), store, out)
    (out / "export.json").unlink()
    (out / ".new").mkdir()
    (out / ".new" / "model.onnx").write_text("half")
    bundle.write(make("aa", **exported()), store, out)
    assert load(out).label("sun") in ("bad", "go*od*") and not (out / ".new").exists()


def test_other_files_are_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(HarnessError, match="contains other files; name a new or empty folder"):
        bundle.write(make("aa", **exported()), store, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(HarnessError, match=r"mine\.txt: it is a file; name a folder"):
        bundle.write(make("aa", **exported()), store, tmp_path / "out" / "mine.txt")
    with pytest.raises(HarnessError, match=r"cannot write the export to .*: Not a directory"):
        bundle.write(make("aa", **exported()), store, tmp_path / "out" / "mine.txt" / "below")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "cannot export cell aa: its model has no ONNX form, or its suite has latency = false"),
        (
            {"artefacts": {"export": "e1"}, "export": {"exported": False, "reason": "it is odd"}},
            "cannot export cell aa: it is odd",
        ),
        (exported("gone"), "cannot export cell aa: its model is not in the store"),
    ],
)
def test_a_cell_without_an_export(fields: dict[str, Any], message: str, store: Store, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=message):
        bundle.write(make("aa", **fields), store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_a_damaged_model_is_said_with_what_to_run(store: Store, tmp_path: Path, damage: str) -> None:
    path = store.root / "export" / "e1" / "labels.json"
    content = path.read_bytes()
    path.write_bytes(content[:-1] if damage == "cut off" else content[:-1] + b"x")
    with pytest.raises(HarnessError) as error:
        bundle.write(make("aa", **exported()), Store(store.root), tmp_path / "out")
    assert str(error.value).startswith("cannot export cell aa: stored export e1 is damaged (")
    assert str(error.value).endswith(
        "; it was set aside; to make it again, run harness bench with the suite 's', then export again"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("role", ["baseline", "teacher"])
def test_cards_of_other_roles(role: str, store: Store, tmp_path: Path) -> None:
    bundle.write(make("aa", role, **exported()), store, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("A `small` trained on labels alone." if role == "baseline" else "A `large` trained on") in card


def test_a_sample_corpus_is_said(store: Store, tmp_path: Path) -> None:
    record = make("aa", **exported())
    record["task"]["source"] = "sample"
    bundle.write(record, store, tmp_path / "out")
    assert "whose scores do not carry over to real texts" in (tmp_path / "out" / "README.md").read_text()


# -- the card's metadata, and the hub ------------------------------------------------------------------------


def test_the_card_has_what_hubs_read(store: Store, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    record = make("aa", **exported())
    record["task"] |= {"source": "hub", "origin": f"some/moods@{'a' * 40}/split"}
    record["metrics"] = {"accuracy": 0.75, "f1_macro": 0.5, "per_class": {}}
    bundle.write(record, store, tmp_path / "out", licence="apache-2.0", language="en")
    found = ModelCard.load(tmp_path / "out" / "README.md").data.to_dict()
    results = found.pop("model-index")
    assert found == {
        "pipeline_tag": "text-classification",
        "library_name": "onnx",
        "license": "apache-2.0",
        "language": "en",
        "datasets": ["some/moods"],
        "metrics": ["accuracy", "f1"],
        "tags": ["knowledge-distillation", "onnx"],
    }
    dataset = {"name": "moods", "type": "some/moods", "revision": "a" * 40, "split": "test"}
    (model,) = results
    assert model["name"] == "small for moods"
    (result,) = model["results"]
    assert result["task"] == {"type": "text-classification"} and result["dataset"] == dataset
    assert result["metrics"] == [
        {"type": "accuracy", "value": 0.75, "name": "accuracy"},
        {"type": "f1", "value": 0.5, "name": "macro F1"},
    ]


def test_the_card_says_only_what_is_known(store: Store, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    record = make("aa", "baseline", **exported())
    record["task"] |= {"source": "sample", "params": {"language": "de"}}
    bundle.write(record, store, tmp_path / "out")
    found = ModelCard.load(tmp_path / "out" / "README.md").data.to_dict()
    assert found["license"] == "other" and found["language"] == "de" and found["tags"] == ["onnx"]
    assert "datasets" not in found
    dataset = found["model-index"][0]["results"][0]["dataset"]
    assert dataset == {"name": "moods (generated sample corpus)", "type": "moods", "split": "test"}


def test_an_export_is_pushed_to_the_hub(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness import HarnessError, bundle\n"
        "try:\n    print(bundle.push(Path(sys.argv[1]), sys.argv[2], private=True))\n"
        "except HarnessError as error:\n    sys.exit(str(error))\n"
    )
    with hub() as served:
        # The library reads its settings when it is imported, hence a process of its own.
        settings = {"HF_ENDPOINT": served.address, "HF_TOKEN": served.token, "HF_HOME": str(tmp_path / "hf")}
        environment = {**os.environ, **settings, "HF_HUB_OFFLINE": "0"}

        def push(repository: str = "me/moods") -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", code, str(out), repository]
            return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

        bundle.write(make("aa", **exported()), store, out)
        (out / "mine.txt").write_text("a note that is no part of the export")
        done = push()
        assert done.returncode == 0 and done.stdout == f"{served.address}/me/moods\n", done.stderr
        assert served.private == {"me/moods": True}
        uploaded = served.files["me/moods"]
        own = {str(path.relative_to(out)): data for path, data in contents(out).items()}
        assert uploaded == {name: data for name, data in own.items() if name != "mine.txt"}
        served.files["me/moods"]["theirs.txt"] = b"of somebody else"
        bundle.write(make("bb", **exported("e2", rejected="of a reason")), store, out)
        assert push().returncode == 0
        assert "onnx/model_quantized.onnx" not in uploaded and "theirs.txt" in uploaded
        assert uploaded["record.json"] == (out / "record.json").read_bytes()
        assert "to 'a b'" in push("a b").stderr
        environment["HF_TOKEN"] = "hf_reader"
        refused = push()
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1
        assert "run: hf auth login" in refused.stderr
