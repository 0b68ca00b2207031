"""Sources: real files of every format, good and bad; a prepared hub data set; networks that hang."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from harness import sources
from harness.api import HarnessError, Unavailable
from harness.sources import DatasetTask, HubSet, find_splits, fingerprint, read_table
from harness.sources import hub as hub_module

ROWS = [{"text": "i am glad", "label": "joy"}, {"text": 'so "sad", really', "label": "sadness"}]
EXPECTED = {"text": ["i am glad", 'so "sad", really'], "label": ["joy", "sadness"]}
CSV = 'id,text,label\n1,i am glad,joy\n2,"so ""sad"", really",sadness\n'
TSV = 'id\ttext\tlabel\n1\ti am glad\tjoy\n2\tso "sad", really\tsadness\n'
HUB = HubSet("some-one/MoodSwings", revision="0123456789abcdef0123456789abcdef01234567", config="plain")


@dataclass(frozen=True)
class Moods(DatasetTask):
    """A task with all three sources."""

    name = "moods"
    class_names = ("sadness", "joy")
    hub = HUB

    def sample(self, generator: Any) -> Mapping[str, pa.Table]:
        table = pa.table({"text": [f"text {generator.random()}"], "label": ["joy"]})
        return dict.fromkeys(("train", "validation", "test"), table)


@dataclass(frozen=True)
class Nothing(DatasetTask):
    """A task with no source but local files."""

    name = "nothing"


def jsonl(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data of the machine's, an empty hub cache, no network."""
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    hub_module._answers.cache_clear()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


# -- formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", jsonl(ROWS)),
        ("a.jsonl.gz", jsonl(ROWS)),
        ("a.csv", CSV),
        ("a.csv.gz", CSV),
        ("a.CSV", CSV),
        ("a.tsv", TSV),
        ("a.tsv.gz", TSV),
        ("crlf.csv", CSV.replace("\n", "\r\n")),
        ("bom.csv", b"\xef\xbb\xbf" + CSV.replace("id,text", "text,id").replace("1,i am glad", "i am glad,1")
            .replace('2,"so ""sad"", really"', '"so ""sad"", really",2').encode()),
        ("bom.jsonl", b"\xef\xbb\xbf" + jsonl(ROWS)),
        ("blank-lines.jsonl", b"\n" + jsonl(ROWS) + b"\n \n"),
    ],
)  # fmt: skip
def test_formats(tmp_path: Path, name: str, content: str | bytes) -> None:
    table = read_table(write(tmp_path / name, content))
    assert table.to_pydict() == EXPECTED
    assert table.schema == pa.schema({"text": pa.string(), "label": pa.string()})


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"label": EXPECTED["label"], "more": [1, 2], "text": EXPECTED["text"]})
    table = table.set_column(0, "label", table["label"].cast(kind))
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").to_pydict() == EXPECTED


def test_named_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "mood,tweet\njoy,yes\n")
    assert read_table(path, text="tweet", label="mood").to_pydict() == {"text": ["yes"], "label": ["joy"]}
    assert read_table(path, text="tweet", label=None).to_pydict() == {"text": ["yes"]}


def test_texts_that_look_like_something_else(tmp_path: Path) -> None:
    texts = ["NA", "null", "2020-01-01", "1", "true", " spaced "]
    path = write(tmp_path / "a.csv", "text,label\n" + "".join(f"{text},x\n" for text in texts))
    assert read_table(path)["text"].to_pylist() == texts
    path = write(tmp_path / "a.jsonl", jsonl([{"text": text, "label": "x"} for text in texts]))
    assert read_table(path)["text"].to_pylist() == texts


def test_line_breaks_in_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\n"one\ntwo",joy\n')
    assert read_table(path)["text"].to_pylist() == ["one\ntwo"]


def test_an_odd_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"oh\tjoy\nno\tsadness\n')
    assert read_table(path)["text"].to_pylist() == ['"oh', "no"]


def test_half_a_surrogate_pair(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rb'{"text": "cut \ud83d", "label": "joy"}')
    assert read_table(path)["text"].to_pylist() == ["cut �"]


def test_missing_values_pass_through(tmp_path: Path) -> None:
    rows = [{"text": None, "label": "joy"}, {"label": None}, {"text": " ", "label": " "}]
    expected = {"text": ["", "", " "], "label": ["joy", None, None]}
    assert read_table(write(tmp_path / "a.jsonl", jsonl(rows))).to_pydict() == expected
    assert read_table(write(tmp_path / "a.csv", 'text,label\n,joy\n"",\n , \n')).to_pydict() == expected


# -- labels


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([0, 1, None], ("sad", "glad"), ["sad", "glad", None]),
        ([0, 1, -1], ("sad", "glad"), ["sad", "glad", None]),
        ([0, 1, 7], (), ["0", "1", "7"]),
        ([0.0, 1.0, None], (), ["0", "1", None]),
        ([0.5, 1.0, None], (), ["0.5", "1", None]),
        (["0", "1", None], ("sad", "glad"), ["sad", "glad", None]),
        (["0", "glad", None], ("sad", "glad"), ["0", "glad", None]),
        (["new", None, "sad "], ("sad", "glad"), ["new", None, "sad"]),
        ([True, False, None], (), ["true", "false", None]),
        ([1, "x", None], (), ["1", "x", None]),
        ([None, None, None], ("sad", "glad"), [None, None, None]),
    ],
)
def test_labels(tmp_path: Path, labels: list[Any], names: Sequence[str], expected: list[str | None]) -> None:
    path = write(tmp_path / "a.jsonl", jsonl([{"text": "t", "label": label} for label in labels]))
    assert read_table(path, class_names=names)["label"].to_pylist() == expected


def test_numbers_in_csv_and_parquet(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,1\nb,0\n")
    assert read_table(path, class_names=("sad", "glad"))["label"].to_pylist() == ["glad", "sad"]
    parquet.write_table(pa.table({"text": ["a", "b"], "label": [1.0, float("nan")]}), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", class_names=("sad", "glad"))["label"].to_pylist() == [
        "glad",
        None,
    ]


@pytest.mark.parametrize("odd", [float("inf"), -float("inf"), 1e300])
def test_numbers_that_no_integer_holds_stay_as_they_are(tmp_path: Path, odd: float) -> None:
    parquet.write_table(pa.table({"text": ["a", "b"], "label": [1.0, odd]}), tmp_path / "a.parquet")
    first, second = read_table(tmp_path / "a.parquet")["label"].to_pylist()
    assert float(first) == 1.0 and float(second) == odd


def test_labels_in_half_precision(tmp_path: Path) -> None:
    labels = pa.array(np.array([1, 0.5], dtype=np.float16))
    parquet.write_table(pa.table({"text": ["a", "b"], "label": labels}), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet")["label"].to_pylist() == ["1", "0.5"]


def test_a_label_beyond_all_classes(tmp_path: Path) -> None:
    labels = pa.array([2**63 + 5, 0], pa.uint64())
    parquet.write_table(pa.table({"text": ["a", "b"], "label": labels}), tmp_path / "a.parquet")
    with pytest.raises(HarnessError, match=r"cannot read .*a\.parquet: .*9223372036854775813"):
        read_table(tmp_path / "a.parquet", class_names=("sad", "glad"))


# -- bad files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "txt,label\n", "a.csv has no column 'text'; found: 'txt', 'label'; did you mean 'txt'?"),
        ("a.csv", "Text,label\nx,y\n", "did you mean 'Text'?"),
        ("a.csv", "text,label,text\nx,y,z\n", "a.csv has more than one column 'text'"),
        ("a.csv", "text,label\nx,y\na,b,c\n", "line 3 has 3 cells, expected 2 as in the header: 'a,b,c'"),
        ("a.csv", "text,label\nx,y\n\nlonely\n", "line 4 has 1 cell, expected 2 as in the header: 'lonel"),
        ("a.csv", b"text,label\nx,y\ncaf\xe9,y\n", "a.csv line 3 is not UTF-8; save the file as UTF-8"),
        ("a.csv", b"text,label\n" + b"x,y\n" * 9999 + b"caf\xe9,y\n", "a.csv line 10001 is not UTF-8"),
        ("a.csv", "text,label\nx,y\n".encode("utf-16-le"), "a.csv line 1 has a NUL byte: the file is damag"),
        ("a.csv", "text,label\nx,y\n".encode("utf-16")[:-1], "mark says UTF-16, but it is damaged"),
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "text,label\n", "a.csv has no rows"),
        ("a.tsv", "txt,label\nx,y\n", "a.tsv has no column 'text'; found: 'txt,label'"),
        ("a.jsonl", "", "a.jsonl has no rows"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "a.jsonl line 2 is not JSON: Expecting"),
        ("a.jsonl", b'[{"text": "a", "label": "b"}, 3]\n', "a.jsonl line 1 is not a JSON object"),
        ("a.jsonl", b'{"tweet": "a", "label": "b"}', "a.jsonl has no column 'text'; found: 'tweet', 'label'"),
        ("a.jsonl", b'{"text": ["a"], "label": "b"}\n', "a.jsonl line 1 has a list or object in column"),
        ("a.jsonl", b'{"text": "caf\xe9", "label": "b"}\n', "a.jsonl line 1 is not UTF-8"),
        ("a.jsonl", b'{"text": "a", "label": 2}\n', "has the label 2 in column 'label'; expected 0 to 1 ("),
        ("a.parquet", "text,label\n", "cannot read a.parquet: "),
        ("a.xlsx", "", "a.xlsx: expected a name that ends with .jsonl, .json, .csv, .tsv (or with .gz, "),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(HarnessError) as error:
        read_table(path, class_names=("sad", "glad"), shown=name if name != "a.xlsx" else "")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:40]])
def test_damaged_gzip(tmp_path: Path, name: str, damage: Any) -> None:
    content = CSV * 50 if "csv" in name else jsonl(ROWS * 50)
    path = write(tmp_path / name, content)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(HarnessError, match=r"cannot read"):
        read_table(path)


def test_parquet_with_lists(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": [["a"]], "label": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(HarnessError, match="in column 'text'; expected strings"):
        read_table(tmp_path / "a.parquet")


# -- local


def splits(folder: Path, names: Sequence[str] = ("train", "validation", "test")) -> None:
    for number, split in enumerate(names):
        write(folder / f"{split}.jsonl", jsonl([{"text": f"{split} {number}", "label": number % 2}]))


def test_local(data: Path) -> None:
    splits(data / "moods")
    write(data / "moods" / "unlabelled.csv", "text\nwho knows\n")
    write(data / "moods" / "README.md", "about")
    source = Moods().resolve("auto")
    assert (source.name, source.origin) == ("local", "$HARNESS_DATA/moods")
    tables = Moods().read(source)
    assert {split: table.to_pydict() for split, table in tables.items()} == {
        "train": {"text": ["train 0"], "label": ["sadness"]},
        "validation": {"text": ["validation 1"], "label": ["joy"]},
        "test": {"text": ["test 2"], "label": ["sadness"]},
        "unlabelled": {"text": ["who knows"]},
    }


def test_errors_name_the_folder(data: Path) -> None:
    splits(data / "moods")
    write(data / "moods" / "test.jsonl", b'{"tweet": "a", "label": 1}')
    with pytest.raises(HarnessError, match=r"^moods/test.jsonl has no column 'text'"):
        Moods().read(Moods().resolve("local"))


@pytest.mark.parametrize("source", ["auto", "local"])
def test_a_missing_split_does_not_fall_through(data: Path, source: str) -> None:
    splits(data / "moods", ("train", "test"))
    with pytest.raises(HarnessError) as error:
        Moods().resolve(source)
    assert not isinstance(error.value, Unavailable)
    assert "has no validation split: found test.jsonl, train.jsonl; expected validation with" in str(
        error.value
    )


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_an_empty_split(data: Path, name: str) -> None:
    splits(data / "moods")
    (data / "moods" / "train.jsonl").unlink()
    write(data / "moods" / name, b"")
    with pytest.raises(HarnessError, match=f"moods/{name} is empty"):
        Moods().resolve("auto")


def test_two_files_for_one_split(data: Path) -> None:
    splits(data / "moods")
    write(data / "moods" / "train.csv", "text,label\nx,y\n")
    with pytest.raises(HarnessError, match=r"more than one train split: train.csv, train.jsonl; keep one"):
        Moods().resolve("auto")


def test_local_is_absent(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        Unavailable, match=f"{data / 'moods'} does not exist; set HARNESS_DATA to a folder that"
    ):
        Moods().resolve("local")
    assert Moods().resolve("auto").name == "sample"
    monkeypatch.delenv("HARNESS_DATA")
    with pytest.raises(Unavailable, match="HARNESS_DATA is not set; set it to a folder that contains moods/"):
        Moods().resolve("local")


def test_fingerprint_follows_the_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    splits(first)
    splits(second)
    assert fingerprint(find_splits(first)) == fingerprint(find_splits(second))
    write(second / "test.jsonl", jsonl([{"text": "other", "label": 0}]))
    assert fingerprint(find_splits(first)) != fingerprint(find_splits(second))
    files = find_splits(first)
    swapped = {**files, "train": files["test"], "test": files["train"]}
    assert fingerprint(files) != fingerprint(swapped)


def test_data_that_changes_after_planning(data: Path) -> None:
    splits(data / "moods")
    source = Moods().resolve("local")
    write(data / "moods" / "test.jsonl", jsonl([{"text": "another one", "label": 0}]))
    with pytest.raises(HarnessError, match="has changed since this run was planned; start the run again"):
        Moods().read(source)


def test_unknown_source() -> None:
    with pytest.raises(HarnessError, match=r"unknown source 'lokal'; did you mean 'local'?"):
        Moods().resolve("lokal")


# -- sample


def test_sample() -> None:
    source = Moods().resolve("sample")
    assert source.name == "sample"
    assert source.fingerprint == "sample:moods@1"
    assert Moods().read(source)["train"].equals(Moods().read(source)["train"])


def test_a_task_without_any_source_says_why() -> None:
    with pytest.raises(Unavailable) as error:
        Nothing().resolve("auto")
    for part in ("HARNESS_DATA is not set", "has no data set on the hub", "has no sample corpus"):
        assert part in str(error.value)


# -- the hub


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """What `datasets` leaves in its cache for HUB, made by `datasets` itself from local files."""
    import datasets

    names = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["glad", "sad"])}
    splits(tmp_path / "files")
    builder = datasets.load_dataset_builder(
        "json",
        data_files={split: str(path) for split, path in find_splits(tmp_path / "files").items()},
        features=datasets.Features(names),
        cache_dir=str(tmp_path / "elsewhere"),
    )
    builder.download_and_prepare()
    made = Path(builder.cache_dir)
    for file in made.glob("json-*.arrow"):
        file.rename(file.with_name(file.name.replace("json-", "mood_swings-")))
    folder = tmp_path / "cache" / "some-one___mood_swings" / "plain" / "0.0.0" / HUB.revision
    folder.parent.mkdir(parents=True)
    return made.rename(folder)


def test_cached_hub_data_needs_no_network(prepared: Path) -> None:
    source = Moods().resolve("auto")
    assert (source.name, source.fingerprint) == ("hub", f"hub:{HUB}")
    assert source.origin == f"some-one/MoodSwings@{HUB.revision}/plain"
    tables = Moods().read(source)
    assert tables["train"].to_pydict() == {"text": ["train 0"], "label": ["glad"]}  # the data set's own names
    assert tables["validation"].to_pydict() == {"text": ["validation 1"], "label": ["sad"]}


def test_another_cached_revision_is_not_taken(prepared: Path) -> None:
    prepared.rename(prepared.with_name("f" * 40))
    with pytest.raises(Unavailable, match=r"no cached copy of some-one/MoodSwings@.* HF_HUB_OFFLINE is set"):
        Moods().resolve("hub")
    assert Moods().resolve("auto").name == "sample"


def test_hub_data_is_prepared_at_the_pinned_revision(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    kept = prepared.rename(prepared.with_name("kept"))

    class Builder:
        hash = HUB.revision
        cache_dir = str(kept)

        def download_and_prepare(self) -> None:
            pass

    def load(path: str, name: str, *, revision: str) -> Builder:
        assert (path, name, revision) == (HUB.id, HUB.config, HUB.revision)
        return Builder()

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    monkeypatch.setattr(hub_module, "known_to_hub", lambda *about: None)
    assert sources.read_hub(HUB)["train"].to_pydict() == {"text": ["train 0"], "label": ["glad"]}
    Builder.hash = "f" * 40
    with pytest.raises(Unavailable, match=f"only revision {'f' * 40} is cached"):
        sources.read_hub(HUB)


def test_hub_data_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load(*_: Any, **__: Any) -> None:
        raise ValueError("no data here\nat all")

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    monkeypatch.setattr(hub_module, "known_to_hub", lambda *about: None)
    with pytest.raises(Unavailable, match=r"cannot download data set some-one/MoodSwings@.*: no data here$"):
        sources.read_hub(HUB)


@pytest.fixture
def mute() -> Any:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def test_a_network_that_hangs_is_given_up(mute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", mute)
    assert Moods().resolve("auto").name == "sample"  # that it ends at all is the point
    monkeypatch.setattr(urllib.request, "urlopen", None)  # what was learnt is remembered
    with pytest.raises(Unavailable, match=f"{mute} does not answer"):
        Moods().resolve("hub")


def test_a_name_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")

    def hang(*_: Any, **__: Any) -> None:
        released.wait()
        raise OSError

    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        assert Moods().resolve("auto").name == "sample"
    finally:
        released.set()


def test_a_plan_waits_less_than_three_seconds_for_the_hub() -> None:
    assert hub_module.PROBE_SECONDS < 3


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (407, False), (503, False)])
def test_what_counts_as_an_answer(monkeypatch: pytest.MonkeyPatch, status: int, answers: bool) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    without_proxies(monkeypatch)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        assert sources.hub_answers() is answers
        if answers:
            assert Moods().resolve("auto").name == "hub"


def test_planning_imports_nothing_heavy(data: Path) -> None:
    splits(data / "emotion")
    code = (
        "import sys, harness_tasks\n"
        "for source in ('local', 'sample'): harness_tasks.Emotion().resolve(source)\n"
        "heavy = {'torch', 'datasets', 'pandas', 'pyarrow', 'numpy', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
