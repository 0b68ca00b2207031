"""Models by their names in HARNESS_MODELS: wherever a suite names one, and what is told of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from components import brief, without_workers
from safetensors.numpy import load_file, save_file

from harness import HarnessError, Operations, Unavailable, catalog
from harness.cli import main
from harness.distill.candidates import Candidates
from harness.results.record import read
from harness.task_types.classification import Classification
from harness_augmenters.embeddings import EmbeddingReplace
from harness_augmenters.translate import BackTranslate
from harness_students.recurrent import Lstm
from harness_students.static import Static
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp
from harness_teachers.ensemble import Ensemble
from harness_teachers.t5 import T5
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.inspection import original_of, rounded_bits
from harness_transformers.presets import AllMpnetBaseV2, MultilingualE5Small
from harness_transformers.probe import LinearProbe
from harness_transformers.transformer import Transformer
from harness_transformers.weights import folder_fingerprint

Folder = Callable[[str], Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def models(tmp_path: Path, folder_of: Folder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three models, while nothing can be downloaded."""
    root = tmp_path / "models"
    for name, kind in {"small": "bert", "team/topics": "classifier", "team/t5": "t5"}.items():
        shutil.copytree(folder_of(kind), root / name)
    monkeypatch.setenv("HARNESS_MODELS", str(root))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return root


def rounded(folder: Path, bits: int, block: int = 32) -> Path:
    """Round all matrices in a folder in blocks, each with a scale of its own."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    half = 2 ** (bits - 1)
    for name, table in weights.items():
        if table.ndim == 2 and table.size % block == 0:
            blocks = table.reshape(-1, block)
            scale = np.abs(blocks).max(1, keepdims=True) / half
            weights[name] = (np.clip(np.round(blocks / scale), -half, half - 1) * scale).reshape(table.shape)
    save_file(weights, path, {"format": "pt"})
    return folder


# -- where a model is found -------------------------------------------------------------------------------


def test_a_name_in_the_folder_is_a_model(models: Path) -> None:
    teacher = Transformer(model="small")
    teacher.check()
    assert teacher.folder() == models / "small"
    assert teacher.base() == folder_fingerprint(models / "small")
    assert teacher.operations(20) != Operations() and teacher.note() == ""
    assert Transformer(model="team/topics").base() == folder_fingerprint(models / "team" / "topics")


def test_it_is_found_wherever_a_model_is_named(models: Path) -> None:
    small, topics, t5 = (folder_fingerprint(models / name) for name in ("small", "team/topics", "team/t5"))
    start = Transformer(model="small")
    for component, base in (
        (Checkpoint(model="team/topics"), topics),
        (T5(model="team/t5"), t5),
        (LinearProbe(encoder=start), small),
        (Ensemble(of=(start, Checkpoint(model="team/topics"))), f"{small}\n{topics}"),
        (TransformerStudent(start=start), small),
        (Lstm(embeddings=start), small),
        (Static(embeddings=start), small),
        (Mlp(initial=start), small),
        (EmbeddingReplace(embeddings=start), small),
        (BackTranslate(forth="small", back="team/t5"), f"{small}\n{t5}"),
    ):
        assert component.base() == base, component
        component.check()


def test_distill_takes_such_a_teacher(models: Path) -> None:
    candidates = Candidates(Classification(), catalog.load())
    assert candidates.teachers(True, "team/topics").tables == (
        {"use": "transformer", "model": "team/topics"},
    )
    with pytest.raises(HarnessError) as caught:
        candidates.teachers(True, "topic")
    assert "unknown teacher 'topic'; cannot find model 'topic': not in HARNESS_MODELS" in str(caught.value)
    assert "did you mean 'team/topics'?; name another with --teacher" in str(caught.value)


def test_the_content_counts_and_not_the_place(models: Path) -> None:
    before = Transformer(model="small").base()
    (models / "small").rename(models / "other")
    assert Transformer(model="other").base() == before
    (models / "other" / "config.json").write_text((models / "other" / "config.json").read_text() + " ")
    assert Transformer(model="other").base() != before


def test_a_path_comes_first_and_the_cache_of_the_hub_last(
    models: Path, folder_of: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "models--team--topics"
    shutil.copytree(folder_of("roberta"), cache / "snapshots" / COMMIT)
    teacher = Transformer(model="team/topics", revision=COMMIT)
    assert teacher.folder() == models / "team" / "topics"
    shutil.rmtree(models / "team" / "topics")
    assert (teacher.base(), teacher.folder()) == (COMMIT, cache / "snapshots" / COMMIT)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder_of("distilbert"), tmp_path / "small")
    assert Transformer(model="small").base() == folder_fingerprint(folder_of("distilbert"))


@pytest.mark.parametrize("inner", ["", "hub"])
def test_the_layout_of_the_hubs_cache(inner: str, models: Path, folder_of: Folder) -> None:
    repository = models / inner / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(folder_of("bert"), snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for revision in ("main", COMMIT):
        teacher = Transformer(model="owner/name", revision=revision)
        assert (teacher.base(), teacher.folder(), teacher.note()) == (COMMIT, snapshot, "")
    with pytest.raises(
        Unavailable, match=r"not at this revision in HARNESS_MODELS, .* has another revision of"
    ):
        Transformer(model="owner/name", revision="f" * 40).base()


# -- what is wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["base", "folder"])
def test_an_unknown_name_is_told_what_there_is(ask: str, models: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        getattr(Transformer(model="topic"), ask)()
    assert str(caught.value).startswith(
        "cannot find model 'topic': not in HARNESS_MODELS, not in the hub's cache,"
    )
    assert str(caught.value).endswith(
        "; HARNESS_MODELS has small, team/t5, team/topics; did you mean 'team/topics'?"
    )
    for number in range(20):
        shutil.copytree(models / "small", models / f"more-{number:02}")
    with pytest.raises(Unavailable, match=r"has more-00, .*, more-07 and 15 more$"):
        getattr(Transformer(model="xyz"), ask)()
    with pytest.raises(HarnessError, match=r"neither a folder nor a hub id .*; HARNESS_MODELS has more-00"):
        getattr(Transformer(model="not a model"), ask)()


def test_an_empty_folder_is_told_as_such(models: Path) -> None:
    shutil.rmtree(models)
    (models / ".hidden").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"HARNESS_MODELS has no models$"):
        Transformer(model="small").base()


def test_a_folder_that_is_none(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_MODELS", str(models / "nowhere"))
    teacher = Transformer(model="small")
    for ask in (teacher.base, teacher.folder):
        with pytest.raises(
            HarnessError, match=r"expected HARNESS_MODELS to be a folder of models, got '.*nowhere'"
        ):
            ask()
    assert teacher.operations(20) == Operations() and teacher.note() == ""
    monkeypatch.setenv("HARNESS_MODELS", "")
    with pytest.raises(Unavailable, match=r"'small': not in the hub's cache, and the hub cannot be reached$"):
        teacher.base()


def test_no_name_leads_out_of_the_folder(models: Path) -> None:
    shutil.copytree(models / "small", models.parent / "secret")
    with pytest.raises(HarnessError, match="neither a folder nor a hub id"):
        Transformer(model="team/../../secret").base()


def test_half_a_model_is_told_as_any_folder(models: Path) -> None:
    (models / "small" / "model.safetensors").unlink()
    with pytest.raises(
        HarnessError, match=r"cannot load the weights in .*small: model.safetensors is missing"
    ):
        Transformer(model="small").base()


# -- what readers must know -------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [3, 4])
def test_rounded_weights_are_recognised(bits: int, models: Path) -> None:
    assert rounded_bits(models / "small") is None
    assert rounded_bits(rounded(models / "small", bits)) == bits
    note = Transformer(model="small").note()
    assert note == f"model 'small' has not the original weights, rounded to {bits} bits"
    (models / "small" / "README.md").write_text(
        "---\nlicense: mit\nbase_model:\n- owner/small\n---\n# Small\n"
    )
    assert original_of(models / "small") == "owner/small"
    assert Transformer(model="small").note() == (
        f"model 'small' has the weights of owner/small, rounded to {bits} bits"
    )


def test_other_weights_are_not_taken_for_rounded(models: Path) -> None:
    assert rounded_bits(rounded(models / "small", 8)) is None
    path = models / "team" / "topics" / "model.safetensors"
    weights = load_file(path)
    for table in weights.values():  # pruned: most are 0
        table[np.random.default_rng(0).random(table.shape) < 0.9] = 0
    save_file(weights, path, {"format": "pt"})
    assert rounded_bits(path.parent) is None
    path.write_bytes(b"\x10")  # damaged
    assert rounded_bits(path.parent) is None and original_of(path.parent) == ""


def test_a_preset_takes_the_published_weights_only(
    models: Path, folder_of: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for preset in (AllMpnetBaseV2(), MultilingualE5Small()):
        folder = models / preset.model
        shutil.copytree(folder_of("mpnet"), folder)
        for ask in (preset.base, preset.folder):
            with pytest.raises(
                Unavailable, match=rf"cannot use '{preset.model}' in HARNESS_MODELS: its weights ar"
            ):
                ask()
        found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        with monkeypatch.context() as patch:
            patch.setattr(type(preset), "SHA256", found)
            assert (preset.base(), preset.folder()) == (folder_fingerprint(folder), folder)
            assert preset.note() == ""
        other = type(preset)(model=preset.model, revision="main")  # not what was published under that number
        assert other.base() == folder_fingerprint(folder)
    rounded(models / MultilingualE5Small().model, 4)
    with pytest.raises(Unavailable, match="they are rounded to 4 bits; expected sha256 1a55775f5344"):
        MultilingualE5Small().base()


def test_a_revision_that_a_folder_cannot_show_is_told(models: Path) -> None:
    teacher = Transformer(model="team/topics", revision=COMMIT)
    assert teacher.note() == (
        "model 'team/topics' is a folder in HARNESS_MODELS, "
        "which may differ from revision 01234567 of the hub"
    )
    for other in (Checkpoint(model="team/topics", revision=COMMIT), T5(model="team/topics", revision=COMMIT)):
        assert other.note() == teacher.note()
    assert teacher.note() in BackTranslate(forth="small", back="team/topics", back_revision=COMMIT).note()


SUITE = """
[suite]
name = "mirrored"
precision = "fp32"

[[task]]
use = "file"
train = "rows.csv"

[[teacher]]
use = "transformer"
model = "small-q4"
epochs = 1

[[student]]
use = "lstm"
embeddings = { use = "transformer", model = "small" }
epochs = 1
min_examples = 0

[[loss]]
use = "kl"
"""


def test_records_and_tables_tell_what_the_weights_are(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models / "small", models / "small-q4")
    rounded(models / "small-q4", 4)
    (models / "small-q4" / "README.md").write_text("---\nbase_model: owner/small\n---\n")
    lines = [f"the {word} is here {n},{word}" for n in range(40) for word in ("sun", "rain")]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines, ""]))
    (tmp_path / "suite.toml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    with without_workers(), brief():
        done = CliRunner().invoke(main, ["bench", "suite.toml", "--store", "store"])
    assert done.exit_code == 0, done.stderr
    folder, told = (
        tmp_path / "results" / "mirrored",
        "model 'small-q4' has the weights of owner/small, rounded to",
    )
    records = read(folder / "records.jsonl")
    assert [record["role"] for record in records] == ["teacher", "baseline", "distilled"]
    for record in records:
        if (teacher := record.get("teacher")) is not None:
            assert teacher["base"] == folder_fingerprint(models / "small-q4")
            assert teacher["note"] == f"{told} 4 bits"
        if (student := record.get("student")) is not None:
            assert student["base"] == folder_fingerprint(models / "small") and "note" not in student
    assert (folder / "leaderboard.md").read_text().count(f"transformer: {told} 4 bits") == 1
    assert told.replace("'", "&#39;") in (folder / "index.html").read_text()
    assert f"{told} 4 bits" in " ".join(done.stdout.split())
    distilled = next(record["cell"] for record in records if record["role"] == "distilled")
    done = CliRunner().invoke(main, ["export", distilled[:12], "shipped", "--store", "store"])
    assert done.exit_code == 0, done.stderr
    assert f"transformer: {told} 4 bits." in (tmp_path / "shipped" / "README.md").read_text()
