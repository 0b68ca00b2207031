"""Reading tagged words: CoNLL text of several shapes, JSON lines, Parquet, and the hub's copies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.api import HarnessError, Unavailable
from harness.sources import HubSet
from harness.sources.opening import noted
from harness.sources.tagged import TaggedTask, has_lists, read_tagged

REVISION = "0123456789abcdef0123456789abcdef01234567"


def rows(table: pa.Table) -> list[tuple[list[str], list[str]]]:
    assert table.column_names == ["tokens", "tags"]
    assert all(kind == pa.list_(pa.string()) for kind in table.schema.types)
    return list(zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True))


def conll(folder: Path, text: str, name: str = "a.conll") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.conll", "a.conll.gz", "a.bio", "a.txt"])
def test_words_stand_on_lines_and_sentences_between_empty_ones(name: str, tmp_path: Path) -> None:
    text = "\ufeffBo\tB-per\nran\tO\n\n\n#\tO\nNew York\tB-loc\n \nin\tO\r\nOslo\tB-loc\r\n"
    assert rows(read_tagged(conll(tmp_path, text, name))) == [
        (["Bo", "ran"], ["B-per", "O"]),
        (["#", "New York"], ["O", "B-loc"]),
        (["in", "Oslo"], ["O", "B-loc"]),
    ]


def test_comments_and_documents_are_passed_over_and_hashtags_are_not(tmp_path: Path) -> None:
    text = (
        "-DOCSTART- -X- O\n\n# sent_id = 1\n#note\nBo NNP B-per\nran VB O\n\n# NN O\n#tbt NN O\n\n#win NN O\n"
    )
    assert rows(read_tagged(conll(tmp_path, text))) == [
        (["Bo", "ran"], ["B-per", "O"]),
        (["#", "#tbt"], ["O", "O"]),
        (["#win"], ["O"]),
    ]


@pytest.mark.parametrize(
    "word", ["\u3000", "\u00a0", "10\u00a0000", "a\u2028b", "\x85", "\x1c", "\x0b", "\u2003x"]
)
@pytest.mark.parametrize("gap", [" ", "\t", "  "])
def test_only_ascii_spaces_and_tabs_separate_columns(word: str, gap: str, tmp_path: Path) -> None:
    path = conll(tmp_path, f"in{gap}O\n{word}{gap}O\nOslo{gap}B-loc\n\u3000\nBo{gap}B-per\n")
    assert rows(read_tagged(path)) == [(["in", word, "Oslo"], ["O", "O", "B-loc"]), (["Bo"], ["B-per"])]


GERMEVAL = "#\thttp://a.de [2009]\n1\tin\tO\tO\n2\tOslo\tB-LOC\t{}\n\n#\thttp://b.de [2009]\n1\tja\tO\tO\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GERMEVAL.format("O"), "words in column 2 and the tags in column 3 of 4"),
        ("1\tin\tO\n2\tOslo\tB-LOC\n\n1\tja\tO\n", "words in column 2 and the tags in column 3 of 3"),
        ("0 in O\n1 Oslo B-LOC\n\n0 ja O\n", "words in column 2"),
        ("# id = 1\n1-2\tim\t_\t_\n1\tin\tO\t-\n2\tOslo\tB-LOC\t-\n2.1\tx\t_\t_\n\n1\tja\tO\t-\n", "3 of 4"),
        ("in O _\nOslo B-LOC _\n\nja O _\n", "words in column 1 and the tags in column 2 of 3"),
        ("in APPR O\nOslo NE B-LOC\n\n-DOCSTART- -X- O\n\nja ADV O\n", ""),
        ("in B-PP O\nOslo B-NP B-LOC\n\nja O O\n", ""),  # tags of chunks too: the last column has the tags
    ],
)
def test_columns_that_a_file_shows(text: str, told: str, tmp_path: Path) -> None:
    with noted() as notes:
        found = rows(read_tagged(conll(tmp_path, text)))
    assert found == [(["in", "Oslo"], ["O", "B-LOC"]), (["ja"], ["O"])]
    assert told in " ".join(notes) and bool(told) == bool(notes)


def test_columns_that_a_file_leaves_open(tmp_path: Path) -> None:
    path = conll(tmp_path, GERMEVAL.format("B-ORG"))
    with pytest.raises(
        HarnessError, match=r"tags such as B-LOC are in columns 3 and 4; .*--text 2 --label 3"
    ):
        read_tagged(path)
    assert rows(read_tagged(path, 2, 4))[0] == (["in", "Oslo"], ["O", "B-ORG"])
    with pytest.raises(HarnessError, match="B-LOC are in no column; name the columns of words and tags"):
        read_tagged(conll(tmp_path, "1\tin\tAPPR\n2\tOslo\tNE\n\n1\tja\tADV\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "in O\nOslo b-loc\n",
            "a.conll line 2: expected O, or B-, .* got 'b-loc'; write 'B-loc': O and the let",
        ),
        ("in O\n\n\nOslo o\n", "a.conll line 4: .* got 'o'; write 'O'"),
        ("in X\n", "a.conll line 1: .* got 'X'; write O if it marks words outside of entities"),
        ("in B-\n", "a.conll line 1: .* got 'B-'"),
        ("in O\nNew York B-LOC\n", "a.conll line 2: .* got 'York'"),
        # One wrong tag does not make another column that of the tags.
        ("in B-PP O\nOslo B-NP b-loc\nBo B-NP B-per\n", "a.conll line 2: .* got 'b-loc'"),
        ("1 in O\n2 Oslo b-loc\n3 Bo B-per\n", "a.conll line 2: .* got 'b-loc'"),
    ],
)
def test_tags_of_no_scheme_are_told_with_their_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=message):
        read_tagged(conll(tmp_path, text))
    (tmp_path / "a.jsonl").write_text(json.dumps({"tokens": ["a"], "tags": ["X"]}))
    with pytest.raises(HarnessError, match=r"a\.jsonl line 1: expected O, .* got 'X'"):
        read_tagged(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.string(), 2), pa.list_view(pa.string())],
)
def test_every_type_of_list_is_one(kind: pa.DataType) -> None:
    assert has_lists(pa.schema({"a": kind}), "a")
    assert not has_lists(pa.schema({"a": pa.string()}), "a") and not has_lists(pa.schema({"a": kind}), "b")


def test_columns_by_number_and_by_name(tmp_path: Path) -> None:
    text = "# global.columns = ID FORM UPOS NER\n1\tNew York\tX\tB-loc\n2\tsleeps\tV\tO\n"
    path = conll(tmp_path, text)
    expected = [(["New York", "sleeps"], ["B-loc", "O"])]
    assert rows(read_tagged(path, 2, -1)) == rows(read_tagged(path, "FORM", "NER")) == expected
    assert rows(read_tagged(path, -3, 4)) == rows(read_tagged(path, "FORM", -1)) == expected


def test_lists_in_json_lines_and_parquet(tmp_path: Path) -> None:
    from pyarrow import parquet

    given = {"w": ["Bo", "ran"], "t": ["B-per", "O"], "id": 3}
    (tmp_path / "a.jsonl").write_text(json.dumps(given) + "\n\n", encoding="utf-8")
    parquet.write_table(pa.Table.from_pylist([given]), tmp_path / "a.parquet")
    for path in (tmp_path / "a.jsonl", tmp_path / "a.parquet"):
        assert rows(read_tagged(path, "w", "t")) == [(["Bo", "ran"], ["B-per", "O"])]
        with pytest.raises(HarnessError, match="has no column 'tokens'; found: 'w', 't'"):
            read_tagged(path)


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", (), "has no sentences"),
        ("Bo O\nran\n", (), "line 2 has 1 column; expected at least 2"),
        ("Bo O\n", (3, -1), "has no column 3; expected 1 to 2"),
        ("Bo O\n", ("FORM", -1), r"does not name its columns.*give the number of column 'FORM', from 1 to 2"),
        ("# global.columns = FORM NER\nBo\tO\n", ("FORN", -1), "no column 'FORN'.*did you mean 'FORM'"),
    ],
)
def test_conll_text_that_cannot_be_read(text: str, columns: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=message):
        read_tagged(conll(tmp_path, text), *columns)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a"], "tags": []}, "line 1 has 1 words and 0 tags; expected a tag for each word"),
        ({"tokens": "a", "tags": ["O"]}, "line 1 needs a list of strings for its words"),
        ({"tokens": ["a"], "tags": [0]}, "line 1 needs a list of strings for its tags"),
        ({"tokens": ["a"], "tag": ["O"]}, "line 1 has no column 'tags'.*did you mean 'tag'"),
        ([1], "line 1 is not a JSON object"),
    ],
)
def test_json_lines_that_cannot_be_read(row: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(HarnessError, match=message):
        read_tagged(tmp_path / "a.jsonl")


def test_files_that_are_damaged_or_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_bytes(b"Bo O\n\xff O\n")
    (tmp_path / "b.conll.gz").write_bytes(b"no gzip")
    for name, message in (
        ("a.conll", "a.conll line 2 is not UTF-8"),
        ("b.conll.gz", r"b\.conll\.gz line 1: expected O, .*, got 'gzip'"),
        ("c.csv", "cannot read .*c.csv: expected .*conll"),
        ("d.conll", "cannot read .*d.conll: it does not exist"),
    ):
        with pytest.raises(HarnessError, match=message):
            read_tagged(tmp_path / name)


class Names(TaggedTask):
    """Names."""

    name = "names"
    hub = HubSet("some-one/names", REVISION, text="tokens", label="ner_tags", splits={"train": "train"})

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        raise NotImplementedError


def test_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    (tmp_path / "names").mkdir()
    conll(tmp_path / "names", "Bo O\n", "train.conll")
    conll(tmp_path / "names", "Bo O\n", "validation.bio.gz")
    (tmp_path / "names" / "test.jsonl").write_text('{"tokens": ["Bo"], "tags": ["O"]}')
    (tmp_path / "names" / "unlabelled.csv").write_text("text\nraw words here\n")
    task = Names()
    tables = task.read(task.resolve("auto"))
    assert all(rows(tables[split]) == [(["Bo"], ["O"])] for split in ("train", "validation", "test"))
    assert tables["unlabelled"]["text"].to_pylist() == ["raw words here"]
    (tmp_path / "names" / "train.conll").unlink()
    with pytest.raises(HarnessError, match=r"no train split: .*expected train with one of .*\.conll"):
        task.resolve("local")


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": {"names": ["O", "B-x"], "_type": "ClassLabel"}, "_type": "Sequence"},
        {"feature": {"names": ["O", "B-x"], "_type": "ClassLabel"}, "_type": "List"},
        [{"names": ["O", "B-x"], "_type": "ClassLabel"}],
        None,
    ],
)
def test_the_hubs_copy(feature: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        Names().resolve("hub")
    folder = tmp_path / "some-one___names" / "default" / "0.0.0" / REVISION
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"features": {"ner_tags": feature}}))
    table = pa.table({"tokens": [["in", "Oslo"]], "ner_tags": [[0, 1] if feature else ["O", "B-x"]]})
    with pa.OSFile(str(folder / "names-train.arrow"), "wb") as f, pa.ipc.new_stream(f, table.schema) as out:
        out.write_table(table)
    task = Names()
    assert rows(task.read(task.resolve("hub"))["train"]) == [(["in", "Oslo"], ["O", "B-x"])]
