"""Tasks on names in tweets: the generated corpora, and tagged files of one's own."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.api import HarnessError, Unavailable
from harness.catalog import load
from harness.parameters import ParameterErrors
from harness.task_types.bio import to_bio
from harness_tasks.conll import ConllFile
from harness_tasks.ner import Btc, Wnut16, Wnut17

TYPES = {
    "wnut17": {"corporation", "creative-work", "group", "location", "person", "product"},
    "btc": {"LOC", "ORG", "PER"},
    "wnut16": {"company", "facility", "geo-loc", "movie", "musicartist", "other", "person", "product"}
    | {"sportsteam", "tvshow"},
}


def names(table: pa.Table) -> Counter[tuple[str, str]]:
    """Each name with its type, in lower case."""
    found: Counter[tuple[str, str]] = Counter()
    for words, tags in zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True):
        starts = [*(i for i, tag in enumerate(tags) if tag[0] != "I"), len(tags)]
        for a, b in pairwise(starts):
            if tags[a] != "O":
                found[" ".join(words[a:b]).lower(), tags[a][2:]] += 1
    return found


@pytest.mark.parametrize("task", [Wnut17(), Btc(), Wnut16()], ids=lambda task: task.name)
def test_the_sample_asks_what_tweets_ask(task: Any) -> None:
    tables = task.read(task.resolve("sample"))
    assert {split: table.num_rows for split, table in tables.items()} == {
        "train": 1200,
        "validation": 300,
        "test": 600,
        "unlabelled": 4000,
    }
    every = [
        " ".join(words).lower()
        for s in ("train", "validation", "test")
        for words in tables[s]["tokens"].to_pylist()
    ]
    every += [text.lower() for text in tables["unlabelled"]["text"].to_pylist()]
    assert len(set(every)) == len(every)
    trained, tested = names(tables["train"]), names(tables["test"])
    for found in (trained, tested):
        assert {kind for _, kind in found} == TYPES[task.name]
    unseen = sum(count for name, count in tested.items() if name not in trained)
    assert 0.5 < unseen / tested.total() < 0.9
    tags = [tag for row in tables["train"]["tags"].to_pylist() for tag in row]
    assert 0.86 < tags.count("O") / len(tags) < 0.93
    assert all(to_bio(row) == row for row in tables["test"]["tags"].to_pylist())
    kinds = Counter(kind for _, kind in trained.elements())
    assert max(kinds.values()) > 3 * min(kinds.values())
    assert any(name.startswith("#") for name, _ in tested)
    said = tables["test"]["tokens"].to_pylist()
    assert 0.1 < sum(" ".join(w) == " ".join(w).lower() for w in said) / len(said) < 0.5
    kinds_of_form: dict[str, set[str]] = {}
    for form, kind in trained:
        kinds_of_form.setdefault(form, set()).add(kind)
    assert any(len(kinds) > 1 for kinds in kinds_of_form.values())  # one word, several kinds


def test_mentions_are_tagged_as_each_corpus_has_it() -> None:
    table = Btc().read(Btc().resolve("sample"))["test"]
    rows = list(zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True))
    mentions = [tags[:2] for words, tags in rows if words[0] == "@"]
    assert len(mentions) > 50 and all(tags == ["B-PER", "B-PER"] for tags in mentions)
    table = Wnut17().read(Wnut17().resolve("sample"))["test"]
    rows = list(zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True))
    mentions = [tags[:1] for words, tags in rows if words[0][0] == "@"]
    assert len(mentions) > 50 and all(tags == ["O"] for tags in mentions)


# -- files of one's own -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sentences = [f"{n}\tfrom\tO\n{n}\tTown{n}\tB-loc" for n in range(40)]
    sentences.append(sentences[0])  # the same again
    (tmp_path / "all.conll").write_text("\n\n".join(sentences), encoding="utf-8")
    (tmp_path / "back.conll").write_text("\n\n".join(sentences[::-1]), encoding="utf-8")
    return tmp_path


def test_splits_are_carved_by_sentence(folder: Path) -> None:
    task = ConllFile(Path("all.conll"), tokens=2, test_share=0.2)
    task.check()
    tables = task.read(task.resolve("auto"))
    texts = {
        split: {" ".join(words) for words in table["tokens"].to_pylist()} for split, table in tables.items()
    }
    assert len(texts["validation"]) in (4, 3) and len(texts["test"]) in (8, 7)
    assert sum(map(len, texts.values())) == 40 and sum(t.num_rows for t in tables.values()) == 41
    back = ConllFile(Path("back.conll"), tokens=2, test_share=0.2)
    again = back.read(back.resolve("local"))
    assert {s: {" ".join(w) for w in t["tokens"].to_pylist()} for s, t in again.items()} == texts
    other = ConllFile(Path("all.conll"), tokens=2, test_share=0.2, split_seed=1)
    assert other.resolve("local").fingerprint != task.resolve("local").fingerprint
    assert other.read(other.resolve("local"))["test"] != tables["test"]


def test_splits_that_are_given(folder: Path) -> None:
    (folder / "raw.jsonl").write_text('{"text": "any words"}')
    task = ConllFile(Path("all.conll"), Path("back.conll"), Path("./x.conll"), Path("raw.jsonl"), tokens=2)
    with pytest.raises(HarnessError, match=r"the test file 'x.conll' does not exist"):
        task.resolve("auto")
    (folder / "x.conll").write_text("1 Oslo B-loc\n")
    tables = task.read(task.resolve("auto"))
    assert [table.num_rows for table in tables.values()] == [41, 41, 1, 1]
    assert tables["unlabelled"]["text"].to_pylist() == ["any words"]
    planned = task.resolve("auto")
    (folder / "x.conll").write_text("1 Rome B-loc\n")
    with pytest.raises(HarnessError, match="has changed since this run was planned"):
        task.read(planned)


def test_too_few_sentences(folder: Path) -> None:
    (folder / "one.conll").write_text("Oslo B-loc\n")
    task = ConllFile(Path("one.conll"))
    with pytest.raises(
        HarnessError, match=r"cannot carve a validation split out of .*: it has too few sentences"
    ):
        task.read(task.resolve("auto"))


def test_no_other_source(folder: Path) -> None:
    for source in ("hub", "sample"):
        with pytest.raises(Unavailable, match=f"'conll-file' has no {source} source"):
            ConllFile(Path("all.conll")).resolve(source)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train": "a.doc"}, "cannot read the train file 'a.doc': unknown format; expected .*conll"),
        (
            {"unlabelled": "a.conll"},
            "cannot read the unlabelled file 'a.conll': unknown format; expected .*csv",
        ),
        ({"test": "a.conll"}, "expected different files for .* and unlabelled"),
        ({"tokens": 0}, "expected tokens to be a column's name or number, got 0; columns are counted from 1"),
        ({"tokens": 1, "tags": 1}, "tokens and tags are both 1; expected two"),
        ({"validation_share": 0.5, "test_share": 0.5}, "leaves nothing to train on"),
    ],
)
def test_parameters(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterErrors, match=message):
        load().build("task", {"use": "conll-file", "train": "a.conll", **more})


def test_columns_are_numbers_or_names() -> None:
    built = load().build("task", {"use": "conll-file", "train": "a.conll", "tokens": "FORM", "tags": -2})
    assert (built.tokens, built.tags) == ("FORM", -2)  # type: ignore[attr-defined]
