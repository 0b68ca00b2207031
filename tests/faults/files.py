"""Change data files at random: a file is read, or the plan already says what is wrong with it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from faults.bases import labelled_texts
from faults.forked import zygote
from faults.judge import Case
from faults.suites import judge

if TYPE_CHECKING:
    from faults.world import World

_LIMIT_S = 30.0
_BATCH = 60


def cases(whole: bool) -> list[Case]:
    """Return batches: 420 files, or 20 in the small form."""
    if not whole:
        return [Case("mutated files", "files-0", partial(read, seed=0, count=20), "few")]
    return [
        Case("mutated files", f"files-{seed}", partial(read, seed=seed, count=_BATCH), "few")
        for seed in range(7)
    ]


def read(world: World, seed: int, count: int) -> None:
    """Change files; plan a suite on each, and read it as a run would."""
    rng = random.Random(f"files {seed}")
    (world.folder / "variables.json").unlink(missing_ok=True)
    world.trials = count
    with zygote(world) as warm:
        for index in range(count):
            name = rng.choice(sorted(FORMATS))
            make, text, steps = FORMATS[name]
            data = make(rng)
            for _ in range(rng.randint(1, 3)):
                data = rng.choice(CHANGES)(data, rng)
            path = world.folder / f"mutated-{index}.{name}"
            path.write_bytes(data)
            suite = world.folder / f"mutated-{index}.toml"
            suite.write_text(text.format(file=path.name))
            planned = warm.ask("command", "plan", suite.name, limit=_LIMIT_S)
            judge(world, planned, _copy(path))
            if planned.status == 0:
                asked = (suite.name, f"store-{index}", *steps)
                done = warm.ask("faults.suites:perform_all", *asked, limit=_LIMIT_S)
                judge(world, done, _copy(path))
                if done.status == 2 and name != "outputs.jsonl":  # a plan does not read a teacher's answers
                    what = f"{done.err[:300]}; input {data[:300]!r}"
                    world.fault("wrong", f"the plan of {path.name} hid: {what}")


def _copy(path: Path) -> Path:
    copy = path.with_name(f"copy-of-{path.name}")
    copy.write_bytes(path.read_bytes())
    return copy


# -- formats ----------------------------------------------------------------------------------------------


def _rows(rng: random.Random) -> list[dict[str, str]]:
    found = list(csv.DictReader(io.StringIO(labelled_texts(60))))
    rng.shuffle(found)
    return found


def _delimited(delimiter: str) -> Callable[[random.Random], bytes]:
    def made(rng: random.Random) -> bytes:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, ["text", "label"], delimiter=delimiter, quoting=rng.randint(0, 1))
        writer.writeheader()
        writer.writerows(_rows(rng))
        return stream.getvalue().encode()

    return made


def _json_lines(rng: random.Random) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in _rows(rng)).encode()


def _parquet(rng: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(_rows(rng)), sink, compression="NONE")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _tagged(rng: random.Random) -> bytes:
    lines = []
    for row in _rows(rng):
        words = row["text"].split()
        lines += [f"{word} {'B-SKY' if word in ('sun', 'rain', 'gale') else 'O'}" for word in words] + [""]
    return "\n".join(lines).encode()


def _scores(rng: random.Random) -> bytes:
    return "".join(["text,label\n", *(f"{row['text']},{rng.random():.3f}\n" for row in _rows(rng))]).encode()


def _several(rng: random.Random) -> bytes:
    rows = ({"text": row["text"], "labels": [row["label"], "day"][: rng.randint(0, 2)]} for row in _rows(rng))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _words(rng: random.Random) -> bytes:
    rows = (row["text"].split() for row in _rows(rng))
    tagged = ({"tokens": words, "tags": ["B-SKY", *["O"] * (len(words) - 1)]} for words in rows)
    return "".join(json.dumps(row) + "\n" for row in tagged).encode()


def _outputs(rng: random.Random) -> bytes:
    texts = [row["text"] for row in csv.DictReader(io.StringIO(labelled_texts()))]
    return "".join(json.dumps({"text": text, "logits": [1.0, 0.5, -2]}) + "\n" for text in texts).encode()


def _lines_of_text(rng: random.Random) -> bytes:
    return "\n".join(row["text"] for row in _rows(rng)).encode()


def _suite(task: str, student: str) -> str:
    task = f'[[task]]\nuse = "{task}"\ntrain = "{{file}}"'
    return f'[suite]\nlatency = false\n{task}\n[[student]]\nuse = "{student}"\n'


_CLASSES = _suite("file", "tfidf-logreg")
_TAGS = _suite("conll-file", "cnn-tagger")
_TAUGHT = (
    _suite("file", "mlp").replace("{file}", "toys.csv")
    + '[[teacher]]\nuse = "precomputed"\nfile = "{file}"\n[[loss]]\nuse = "kl"\n'
)
_TEXTS = _suite("text-file", "none").replace("student", "teacher").replace('"none"', '"masked-lm"')
_DATA = ("data",)
# By the end of a file's name: how to make one, a suite that reads it, and the steps in which that happens.
FORMATS: dict[str, tuple[Callable[[random.Random], bytes], str, tuple[str, ...]]] = {
    "csv": (_delimited(","), _CLASSES, _DATA),
    "tsv": (_delimited("\t"), _CLASSES, _DATA),
    "jsonl": (_json_lines, _CLASSES, _DATA),
    "jsonl.gz": (lambda rng: gzip.compress(_json_lines(rng), mtime=0), _CLASSES, _DATA),
    "csv.gz": (lambda rng: gzip.compress(_delimited(",")(rng), mtime=0), _CLASSES, _DATA),
    "parquet": (_parquet, _CLASSES, _DATA),
    "conll": (_tagged, _TAGS, _DATA),
    "words.jsonl": (_words, _TAGS, _DATA),
    "scores.csv": (_scores, _suite("file-regression", "mlp"), _DATA),
    "several.jsonl": (_several, _suite("file-multilabel", "mlp"), _DATA),
    "lines.txt": (_lines_of_text, _TEXTS, _DATA),
    "outputs.jsonl": (_outputs, _TAUGHT, ("data", "transfer", "teacher", "targets")),
}


# -- mutations --------------------------------------------------------------------------------------------

_BITS = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b'"',
        b"'",
        b",",
        b"\t",
        b";",
        b"\n",
        b"\r",
        b"\n\n\n",
        b"{",
        b"}",
        b"[",
        b"null",
    ),
    *(
        b"\\",
        b"\xc2\xa0",
        b"\xe3\x80\x80",
        b"\xe2\x80\xa8",
        b"\x1b[31m",
        b"\xf0\x9f\x98\x80",
        b"NaN",
        b"1e999",
        b"\x1a",
        b"\x85",
    ),
)


def _insert(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(found) + 1)
        found[place : place + rng.randint(0, 4)] = rng.choice(_BITS) * rng.choice((1, 1, 1, 50))
    return bytes(found)


def _flip(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.randint(1, 8) if found else 0):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _lines(change: Callable[[list[bytes], random.Random], object]) -> Callable[[bytes, random.Random], bytes]:
    def changed(data: bytes, rng: random.Random) -> bytes:
        lines = data.split(b"\n")
        change(lines, rng)
        return b"\n".join(lines)

    return changed


def _labels(data: bytes, rng: random.Random) -> bytes:
    word = rng.choice((b"warm", b"wet", b"windy", b"label", b"text", b"B-SKY"))
    new = rng.choice(
        (
            b"",
            b"true",
            b"1",
            b"null",
            b"nan",
            b" warm",
            b"Warm",
            b"wa\xcc\x88rm",
            b"x" * 3000,
            b"I-SKY",
            b"B-",
            b"\x1b[2J",
        )
    )
    return data.replace(word, new, rng.choice((1, -1)))


_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_insert,) * 3,
    *(_flip,) * 2,
    *(_labels,) * 3,
    _lines(lambda lines, rng: lines.pop(rng.randrange(len(lines)))),
    _lines(lambda lines, rng: lines.pop(0)),
    _lines(lambda lines, rng: lines.insert(rng.randrange(len(lines)), rng.choice(lines))),
    _lines(lambda lines, rng: rng.shuffle(lines)),
    _lines(lambda lines, rng: lines.__setitem__(rng.randrange(len(lines)), b"x" * 300_000)),
    _lines(lambda lines, rng: lines.__delitem__(slice(rng.randint(0, 3), None))),
    lambda data, rng: data[: rng.randrange(len(data) + 1)],
    lambda data, rng: data + data,
    lambda data, rng: data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n"))),
    lambda data, rng: data.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-8", "utf-32"))),
    lambda data, rng: gzip.compress(data),
    lambda data, rng: b"\xef\xbb\xbf" + data,
    lambda data, rng: rng.choice((b"", b"<!DOCTYPE html>404", _POINTER, rng.randbytes(rng.randint(0, 5000)))),
    lambda data, rng: b"[" + data.replace(b"}\n{", b"},\n{") + b"]",
)
