"""``harness data``: the splits of tasks as files that other programs can load, with Croissant metadata."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.sources.croissant import CONTEXT

SUITE = """
[suite]
name = "several"
{tasks}
[[teacher]]
use = "minilm"
"""
# The properties that the specification requires (Croissant 1.0), and those of its parts.
REQUIRED = {"@context", "@type", "conformsTo", "name", "description", "license", "url", "creator"}
REQUIRED |= {"datePublished", "distribution", "recordSet"}
OF_FILE = {"@type", "@id", "name", "contentUrl", "encodingFormat", "sha256"}
OF_FIELD = {"@type", "@id", "name", "dataType", "source"}


def written(folder: Path, *options: str, tasks: str = "emotion") -> Result:
    suite = folder / "suite.toml"
    blocks = [f'[[task]]\nuse = "{task}"' for task in tasks.split()]
    suite.write_text(SUITE.format(tasks="\n".join(blocks)))
    return CliRunner().invoke(main, ["data", str(suite), str(folder / "data"), *options])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_metadata_have_what_croissant_requires(tmp_path: Path) -> None:
    done = written(tmp_path, "--source", "sample", "--language", "en")
    assert done.exit_code == 0 and not done.stderr, done.output
    folder = tmp_path / "data" / "emotion"
    found = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    assert found.keys() >= REQUIRED | {"inLanguage"} and found["@context"] == CONTEXT
    assert found["license"] == "https://spdx.org/licenses/Apache-2.0.html"
    assert "generates; no real texts" in found["description"] and "sample:emotion@3" in found["description"]
    names = [file["name"] for file in found["distribution"]]
    assert names == ["train.jsonl", "validation.jsonl", "test.jsonl", "unlabelled.jsonl"]
    for file, records in zip(found["distribution"], found["recordSet"], strict=True):
        content = (folder / file["contentUrl"]).read_bytes()
        assert file.keys() >= OF_FILE and file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == f"{len(content)} B"
        rows = rows_of(folder / file["contentUrl"])
        assert f"{len(rows)} rows" in records["description"]
        assert [field["name"] for field in records["field"]] == [*rows[0]]
        for field in records["field"]:
            assert field.keys() >= OF_FIELD and field["source"]["fileObject"] == {"@id": file["@id"]}
    label = found["recordSet"][0]["field"][1]
    assert label["name"] == "label" and label["dataType"] == ["sc:Text", "cr:Label"]
    assert f"{len((folder / 'train.jsonl').read_bytes()):,}  {folder / 'train.jsonl'}" in done.stdout


def test_mlcroissant_loads_each_type_of_task(tmp_path: Path) -> None:
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed (extra `test`)")
    done = written(tmp_path, "--source", "sample", tasks="emotion go-emotions stsb wnut17 tweets")
    assert done.exit_code == 0, done.output
    for task in ("emotion", "go-emotions", "stsb", "wnut17", "tweets"):
        folder = tmp_path / "data" / task
        loaded = mlc.Dataset(jsonld=folder / "croissant.json")
        assert not loaded.metadata.ctx.issues.errors
        assert all("citeAs" in warning for warning in loaded.metadata.ctx.issues.warnings)
        expected = rows_of(folder / "test.jsonl")
        found = [*loaded.records("test")]
        assert len(found) == len(expected) > 20

        def plain(value: Any) -> Any:
            if isinstance(value, bytes):
                return value.decode()
            if isinstance(value, float):
                return pytest.approx(value)  # pandas reads numbers less exactly
            return [*map(plain, value)] if isinstance(value, list) else value

        for row, record in zip(expected, found, strict=True):
            assert {name.partition("/")[2]: plain(value) for name, value in record.items()} == row


def test_the_files_are_local_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(tmp_path, "--source", "sample").exit_code == 0
    (tmp_path / "data").rename(tmp_path / "local")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "local"))
    done = written(tmp_path, "--source", "local")
    why = "error: cannot write the data of task 'emotion' from $HARNESS_DATA/emotion: their licence is not"
    assert done.exit_code == 2 and done.stderr.startswith(why) and not (tmp_path / "data").exists()
    done = written(tmp_path, "--source", "local", "--license", "CC-BY-4.0", "--url", "https://example.org/a")
    assert done.exit_code == 0
    assert done.stderr == (
        f"warning: {tmp_path / 'data' / 'emotion' / 'croissant.json'} lacks creator, which Croissant "
        "requires; add --creator\n"
    )
    found = json.loads((tmp_path / "data" / "emotion" / "croissant.json").read_text())
    assert found["license"] == "CC-BY-4.0" and found["url"] == "https://example.org/a"
    assert found["description"].startswith("Six emotions in English tweets") and "creator" not in found
    for split in ("train", "validation", "test", "unlabelled"):
        both = [tmp_path / place / "emotion" / f"{split}.jsonl" for place in ("local", "data")]
        assert both[0].read_bytes() == both[1].read_bytes()


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    done = written(tmp_path, "--source", "sample", tasks="emotion emotion")
    assert done.exit_code == 2 and not (tmp_path / "data").exists()
    assert "emotion" in done.stderr
