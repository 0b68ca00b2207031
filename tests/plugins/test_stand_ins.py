"""The suite for a GPU and the hub, with tiny models in the hub's cache under the presets' own names."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from components import call_without_workers
from pretrained import make

from harness import catalog

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "suites" / "emotion-full.toml"
KINDS = {
    "all-mpnet-base-v2": "mpnet",
    "bert-base-uncased": "bert",
    "roberta-base": "roberta",
    "t5-base": "t5",
    "distilbert-base-uncased": "distilbert",
    "distilroberta-base": "roberta",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache in which each preset's pinned revision is a tiny model."""
    root = tmp_path_factory.mktemp("hub")
    installed = catalog.load()
    for name, kind in KINDS.items():
        preset = installed.build("teacher", {"use": name})
        snapshot = root / f"models--{preset.model.replace('/', '--')}" / "snapshots" / preset.revision
        snapshot.mkdir(parents=True)
        make(kind, snapshot)
    return root


def harness(cache: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    there = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HARNESS_STORE": str(home)}
    return call_without_workers(home, *arguments, **there)


def test_the_whole_suite_is_planned(cache: Path, tmp_path: Path) -> None:
    done = harness(cache, tmp_path, "plan", str(SUITE), "--source", "sample", "--json")
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert {cell["state"] for cell in cells} == {"to do"}
    teachers = [cell["teacher"]["name"] for cell in cells if cell["role"] == "teacher"]
    assert sorted(teachers) == sorted([*KINDS, "ensemble", "minilm"])


def test_without_its_models_the_suite_says_which_are_missing(tmp_path: Path) -> None:
    done = harness(tmp_path / "empty", tmp_path, "plan", str(SUITE), "--source", "sample")
    assert done.returncode == 0, done.stderr
    for name in KINDS:
        assert name in done.stdout
    assert "HF_HUB_OFFLINE" in done.stdout or "not in the hub's cache" in done.stdout


@pytest.mark.timeout(600)
def test_every_teacher_and_a_student_of_each_is_trained_and_measured(cache: Path, tmp_path: Path) -> None:
    """A short form of the suite: its own teachers, with one epoch, and a student that learns fast."""
    # The stand-in for T5 has no tokens for the labels, so that only its encoder can be used.
    extra = {"t5-base": 'by = "encoder"\n'}
    teachers = "\n".join(
        f'[[teacher]]\nuse = "{name}"\nepochs = 1\nlongest = 16\n{extra.get(name, "")}' for name in KINDS
    )
    short = tmp_path / "short.toml"
    short.write_text(
        f'[suite]\nname = "short"\nseeds = [0]\nlatency = false\n[[task]]\nuse = "emotion"\n{teachers}'
        '[[teacher]]\nuse = "ensemble"\nof = [{ use = "bert-base-uncased", epochs = 1, longest = 16 },'
        ' { use = "roberta-base", epochs = 1, longest = 16 }]\n'
        '[[student]]\nuse = "cnn"\nmin_examples = 0\nepochs = 1\n[[augmenter]]\nuse = "none"\n'
        '[[loss]]\nuse = "kl"\n'
    )
    done = harness(cache, tmp_path, "bench", str(short), "--source", "sample", "--devices", "cpu:1")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "results" / "short" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert all(record["status"] == "ok" for record in records)
    roles = [record["role"] for record in records]
    assert {role: roles.count(role) for role in set(roles)} == {"teacher": 7, "baseline": 1, "distilled": 7}
