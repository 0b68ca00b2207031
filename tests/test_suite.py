# ruff: noqa: E501  (messages stand as they are printed, one a line)
from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, ClassVar

import pytest

import harness
from harness import suite
from harness.catalog import Catalog, Entry
from harness.suite import Exclude, Suite, SuiteError, expand

# -- a small catalog ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Emotion(harness.Task):
    """A task."""

    name = "emotion"
    path: Path = Path()


@dataclass(frozen=True)
class Minilm(harness.Teacher):
    """A teacher."""

    name = "minilm"
    epochs: Annotated[int, harness.Gt(0)] = 3


@dataclass(frozen=True)
class Mlp(harness.Student):
    """A student."""

    name = "mlp"
    vocabulary: Annotated[int, harness.Gt(0)] = 5000
    width: Annotated[int, harness.Gt(0)] = 16
    kernels: tuple[int, ...] = (1, 2)
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cnn(harness.Student):
    """A student."""

    name = "cnn"
    fast: bool = True


@dataclass(frozen=True)
class Nothing(harness.Augmenter):
    """No new texts."""

    name = "none"


@dataclass(frozen=True)
class Mask(harness.Augmenter):
    """Masked words."""

    name = "mask"
    copies: Annotated[int, harness.Gt(0)] = 1


@dataclass(frozen=True)
class CrossEntropy(harness.Loss):
    """Labels."""

    name = "cross-entropy"
    baseline_for: ClassVar[frozenset[str]] = frozenset({"classification"})
    smoothing: float = 0.0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"labels"})


@dataclass(frozen=True)
class Kl(harness.Loss):
    """Logits."""

    name = "kl"
    temperature: Annotated[float, harness.Gt(0)] = 2.0


@dataclass(frozen=True)
class Weighted(harness.Loss):
    """A sum."""

    name = "weighted"
    of: Annotated[tuple[harness.Loss, ...], harness.MinLen(1)]
    weights: tuple[float, ...] = ()

    def check(self) -> None:
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(f"`weights` needs {len(self.of)} numbers, got {len(self.weights)}")


CLASSES = (Emotion, Minilm, Mlp, Cnn, Nothing, Mask, CrossEntropy, Kl, Weighted)
CATALOG = Catalog({(c.kind, c.name): Entry(c.kind, c.name, c, "test", "test", "1", "", 0) for c in CLASSES})

SMALL = """
[[task]]
use = "emotion"
[[teacher]]
use = "minilm"
[[student]]
use = "mlp"
[[loss]]
use = "kl"
"""


def parse(text: str, path: Path | None = Path("suites/small.toml")) -> Suite:
    return suite.parse(dedent(text), CATALOG, path)


def mistakes(text: str, path: Path | None = Path("s.toml")) -> list[str]:
    with pytest.raises(SuiteError) as error:
        parse(text, path)
    assert pickle.loads(pickle.dumps(error.value)).problems == error.value.problems
    return str(error.value).splitlines()


# -- what a suite says --------------------------------------------------------------------------------


def test_a_small_suite_has_defaults() -> None:
    assert parse(SMALL) == Suite(
        name="small",
        path=Path("suites/small.toml"),
        seeds=(0,),
        teacher_seeds="first",
        baselines={"classification": CrossEntropy()},
        tasks=(Emotion(),),
        teachers=(Minilm(),),
        students=(Mlp(),),
        augmenters=(Nothing(),),
        losses=(Kl(),),
        excludes=(),
        precision="auto",
        latency=True,
        time_limit=None,
    )


def test_every_key_is_read() -> None:
    found = parse("""
        [suite]
        name = "emotion-2"
        seeds = [3, 1]
        teacher_seeds = "each"
        precision = "bf16"
        latency = false
        time_limit = 60
        baseline = { use = "cross-entropy", smoothing = 0.1 }

        [[task]]
        use = "emotion"
        path = "data"

        [[student]]
        use = "mlp"
        width = 8

        [[student]]
        use = "cnn"

        [[augmenter]]
        use = "mask"
        copies = { sweep = [1, 5, 20] }

        [[augmenter]]
        use = "none"

        [[loss]]
        use = "weighted"
        of = [{ use = "kl", temperature = { sweep = [1, 2] } }, { use = "cross-entropy" }]
        weights = { sweep = [[1, 2], [3, 4]] }
    """)
    parts = [(Kl(float(t)), CrossEntropy()) for t in (1, 2)]
    assert found == Suite(
        name="emotion-2",
        path=Path("suites/small.toml"),
        seeds=(3, 1),
        teacher_seeds="each",
        baselines={"classification": CrossEntropy(0.1)},
        tasks=(Emotion(Path("data")),),
        teachers=(),
        students=(Mlp(width=8), Cnn()),
        augmenters=(Mask(1), Mask(5), Mask(20), Nothing()),
        losses=tuple(Weighted(of, weights) for of in parts for weights in ((1.0, 2.0), (3.0, 4.0))),
        excludes=(),
        precision="bf16",
        latency=False,
        time_limit=60.0,
    )


def test_a_name_can_be_swept() -> None:
    text = SMALL.replace('use = "mlp"', 'use = { sweep = ["cnn", "mlp"] }')
    assert parse(text).students == (Cnn(), Mlp())


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert suite.load(path, CATALOG) == replace(parse(SMALL), name="marked", path=path)


# -- sweeps -------------------------------------------------------------------------------------------


def test_expand() -> None:
    assert expand({}) == [{}]
    assert expand({"a": 1, "b": [1, {"c": 2}]}) == [{"a": 1, "b": [1, {"c": 2}]}]
    assert expand({"a": {"sweep": [1]}}) == [{"a": 1}]
    assert expand({"a": {"sweep": [1, 2]}, "b": "x", "c": {"sweep": [3, 4]}}) == [
        {"a": 1, "b": "x", "c": 3},
        {"a": 1, "b": "x", "c": 4},
        {"a": 2, "b": "x", "c": 3},
        {"a": 2, "b": "x", "c": 4},
    ]
    assert expand({"a": {"sweep": [[1, 2], [], {"d": 1}, None, "x", True]}}) == [
        {"a": value} for value in ([1, 2], [], {"d": 1}, None, "x", True)
    ]
    assert expand({"a": {"b": {"sweep": [1, 2]}}, "c": [{"sweep": [3, 4]}, 5, [{"d": {"sweep": [6]}}]]}) == [
        {"a": {"b": b}, "c": [c, 5, [{"d": 6}]]} for b in (1, 2) for c in (3, 4)
    ]
    # a sweep among a sweep's values adds its own to them
    assert expand({"a": {"sweep": [1, {"b": {"sweep": [2, 3]}}, {"sweep": [4, 5]}]}}) == [
        {"a": 1},
        {"a": {"b": 2}},
        {"a": {"b": 3}},
        {"a": 4},
        {"a": 5},
    ]
    # at the top `sweep` is a parameter like any other
    assert expand({"sweep": [1, 2]}) == [{"sweep": [1, 2]}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"sweep": []}, r"a sweep needs at least one value, got \[\]"),
        ({"sweep": 3}, "a sweep needs a list of values, got 3"),
        ({"sweep": {"sweep": [1]}}, "a sweep needs a list of values, got { sweep = "),
        ({"sweep": [1], "use": "x"}, "a sweep allows no other key beside it, got 'use'"),
        ([{"a": {"sweep": []}}], "a sweep needs at least one value"),
        ({"sweep": [1, {"sweep": []}]}, "a sweep needs at least one value"),
        (
            [{"sweep": list(range(101))}, {"sweep": list(range(100))}],
            "make 10,100 combinations; at most 10,000",
        ),
    ],
)
def test_what_is_no_sweep(value: Any, message: str) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        expand({"a": value})


def swept(choose: random.Random, depth: int) -> Any:
    match choose.randrange(6) if depth else 0:
        case 1 | 2:
            return {"sweep": [swept(choose, depth - 1) for _ in range(choose.randrange(1, 4))]}
        case 3:
            return [swept(choose, depth - 1) for _ in range(choose.randrange(3))]
        case 4:
            return {f"k{i}": swept(choose, depth - 1) for i in range(choose.randrange(3))}
        case _:
            return choose.randrange(1000)


def assignments(value: Any) -> Iterator[Any]:
    """An independent, recursive reading of what sweeps mean: the first element varies slowest."""
    if isinstance(value, list) and value:
        for first in assignments(value[0]):
            for rest in assignments(value[1:]):
                yield [first, *rest]
    elif isinstance(value, dict) and "sweep" in value:
        for option in value["sweep"]:
            yield from assignments(option)
    elif isinstance(value, dict):
        for items in assignments(list(value.values())):
            yield dict(zip(value, items, strict=True))
    else:
        yield value


@pytest.mark.parametrize("seed", range(100))
def test_random_sweeps(seed: int) -> None:
    choose = random.Random(seed)
    table = {f"p{i}": swept(choose, 3) for i in range(choose.randrange(4))}
    before = repr(table)
    expected = list(assignments(table))
    if len(expected) <= 10_000:
        assert expand(table) == expected
    assert repr(table) == before


# -- excludes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    task: harness.Task = Emotion()
    teacher: harness.Teacher | None = Minilm()
    student: harness.Student | None = Mlp()
    augmenter: harness.Augmenter | None = Nothing()
    loss: harness.Loss | None = Kl()
    seed: int = 0


WIDE = """
[suite]
seeds = [0, 1, 2]
[[task]]
use = "emotion"
path = "a/b"
[[teacher]]
use = "minilm"
[[student]]
use = "mlp"
width = { sweep = [8, 16] }
kernels = { sweep = [[1], [1, 2]] }
tags = ["x", "y"]
[[student]]
use = "cnn"
[[loss]]
use = "kl"
temperature = { sweep = [1, 2] }
[[loss]]
use = "weighted"
of = [{ use = "kl", temperature = 4 }, { use = "cross-entropy" }]
"""


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ('student = "cnn"', 1),
        ('student = ["cnn", "mlp"]', 5),
        ('student = { use = "mlp" }', 4),
        ('student = { use = "mlp", width = 8 }', 2),
        ("student = { width = 8 }", 2),
        ('student = { use = "mlp", width = 8, kernels = [1, 2] }', 1),
        ('student = { tags = ["y", "x"] }', 4),
        ('student = ["cnn", { width = 8 }]', 3),
        ("student = { fast = true }", 1),
        ('task = { path = "a/b" }', 1),
        ("loss = { temperature = 1 }", 1),
        ("loss = { temperature = 1.0 }", 1),
        ('loss = { of = [{ temperature = 4 }, { use = "cross-entropy" }] }', 1),
        ('loss = "cross-entropy"', 1),
        ("seed = [1, 2]", 2),
        ("seed = 1", 1),
    ],
)
def test_excludes_resolve_to_the_components_of_the_suite(keys: str, count: int) -> None:
    (exclude,) = parse(f"{WIDE}[[exclude]]\n{keys}").excludes
    (matched,) = [value for value in vars(exclude).values() if value is not None]
    assert len(matched) == count


def test_an_exclude_needs_all_of_its_keys_to_match() -> None:
    (exclude,) = parse(
        f'{WIDE}[[exclude]]\nstudent = ["cnn", {{ width = 8 }}]\nloss = "kl"\nseed = 1'
    ).excludes
    cell = Cell(student=Cnn(), loss=Kl(1.0), seed=1)
    assert exclude.matches(cell)
    assert not exclude.matches(replace(cell, seed=0))
    assert not exclude.matches(replace(cell, student=Mlp()))
    assert not exclude.matches(replace(cell, student=None, loss=None))
    assert not exclude.matches(replace(cell, loss=CrossEntropy()))
    assert Exclude(task=frozenset({Emotion()})).matches(Cell())
    assert not Exclude(teacher=frozenset({Minilm()})).matches(Cell(teacher=None))
    assert not Exclude(augmenter=frozenset({Mask()})).matches(Cell())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("", "exclude[0]: an exclude without a key would exclude everything (allowed: task, "),
        (
            'student = "mpl"',
            "exclude[0].student: unknown student 'mpl'; did you mean 'mlp'? (allowed: cnn, mlp)",
        ),
        ('student = ["cnn", "mpl"]', "exclude[0].student[1]: unknown student 'mpl'"),
        ("student = { use = 3 }", "exclude[0].student: unknown student '3' (allowed: cnn, mlp)"),
        (
            'augmenter = "mask"',
            "exclude[0].augmenter: excludes nothing: 'mask' is no augmenter of this suite (none)",
        ),
        (
            'student = { use = "mlp", width = 99 }',
            "exclude[0].student: excludes nothing: { use = 'mlp', width = 99 } is no student of this suite (mlp, cnn)",
        ),
        (
            "student = { fast = 1 }",
            "exclude[0].student: excludes nothing: { fast = 1 } is no student of this suite",
        ),
        (
            'student = { use = "mlp", widht = 8 }',
            "exclude[0].student.widht: parameter 'widht' of student 'mlp' is unknown; did you mean 'width'?",
        ),
        (
            "student = 3",
            "exclude[0].student: `student` must be the name of a student, a table with `use` and ",
        ),
        ("student = []", "exclude[0].student: `student` must be the name of a student, a table"),
        ("seed = 7", "exclude[0].seed: excludes nothing: 7 is no seed of this suite (allowed: 0, 1, 2)"),
        ("seed = '0'", "exclude[0].seed: `seed` must be an integer or a list of integers, got '0'"),
        ("seed = true", "exclude[0].seed: `seed` must be an integer or a list of integers, got true"),
        ("seed = []", "exclude[0].seed: `seed` must be an integer or a list of integers, got []"),
        ('studnt = "mlp"', "exclude[0].studnt: unknown key 'studnt'; did you mean 'student'? (allowed: "),
        (
            'teacher = "minilm"\nloss = "cross-entropy"',
            "exclude[0]: excludes nothing: loss 'cross-entropy' is never combined with a teacher",
        ),
    ],
)
def test_mistaken_excludes(keys: str, message: str) -> None:
    (said,) = mistakes(f"{WIDE}[[exclude]]\n{keys}")
    line = len(WIDE.splitlines()) + 1 + ("exclude[0]:" not in message)
    assert said.startswith(f"s.toml:{line}: {message}")


# -- mistakes -----------------------------------------------------------------------------------------


def test_all_mistakes_are_reported_at_once_with_their_lines() -> None:
    assert mistakes("""\
        [suite]
        name = "Bad Name"
        sedes = [1]
        seeds = [0,
          -1]
        precision = "fp61"
        baseline = { use = "kl" }

        [[students]]
        use = "mlp"

        [[task]]  # one
        use = "emotion"
        path = 3

        [[student]]
        use = "mpl"

        [[student]]
        use = "mlp"
        widht = 3
        vocabulary = "many"
        kernels = [
          1,  # ] "
          "2",
        ]

        [[loss]]
        use = "weighted"
        of = [
          { use = "kl", temperature = { sweep = [1,
            0, "x"] } },
          { use = "cross-entropie" },
        ]
        weights = { sweep = [] }

        [[loss]]
        width = 1

        [[loss]]
        use = "weighted"
        of = [{ use = "kl" }]
        weights = [1, 2]

        [augmenter]
        use = "none"
    """) == [
        "s.toml:2: suite.name: a suite's name is made of a-z, 0-9, '.', '_' and '-', "
        "with a letter or digit first, got 'Bad Name'",
        "s.toml:3: suite.sedes: key 'sedes' of [suite] is unknown; did you mean 'seeds'? "
        "(allowed: baseline, latency, name, precision, seeds, teacher_seeds, time_limit)",
        "s.toml:5: suite.seeds[1]: key 'seeds[1]' of [suite] must be an integer at least 0 and at most "
        "4294967295, got -1",
        "s.toml:6: suite.precision: key 'precision' of [suite] must be 'auto', 'fp32' or 'bf16', got 'fp61'",
        "s.toml:7: suite.baseline: a baseline learns from labels alone, but loss 'kl' needs logits",
        "s.toml:9: students: unknown table 'students'; did you mean [[student]]? (allowed: [suite], [[task]], "
        "[[teacher]], [[student]], [[augmenter]], [[loss]], [[exclude]], [[tracker]])",
        "s.toml:14: task[0].path: parameter 'path' of task 'emotion' must be a path, got 3",
        "s.toml:17: student[0].use: unknown student 'mpl'; did you mean 'mlp'? (allowed: cnn, mlp)",
        "s.toml:21: student[1].widht: parameter 'widht' of student 'mlp' is unknown; did you mean 'width'? "
        "(allowed: kernels, tags, vocabulary, width)",
        "s.toml:22: student[1].vocabulary: parameter 'vocabulary' of student 'mlp' must be an integer greater "
        "than 0, got 'many'",
        "s.toml:25: student[1].kernels[1]: parameter 'kernels[1]' of student 'mlp' must be an integer, got '2'",
        "s.toml:32: loss[0].of[0].temperature.sweep[1]: parameter 'temperature' of loss 'kl' must be a number "
        "greater than 0, got 0",
        "s.toml:32: loss[0].of[0].temperature.sweep[2]: parameter 'temperature' of loss 'kl' must be a number "
        "greater than 0, got 'x'",
        "s.toml:33: loss[0].of[1].use: unknown loss 'cross-entropie'; did you mean 'cross-entropy'? "
        "(allowed: cross-entropy, kl, weighted)",
        "s.toml:35: loss[0].weights.sweep: a sweep needs at least one value, got []",
        "s.toml:37: loss[1]: a loss needs `use`, its name (allowed: cross-entropy, kl, weighted)",
        "s.toml:40: loss[2]: `weights` needs 1 numbers, got 2",
        's.toml:45: augmenter: write [[augmenter]] for each augmenter with `use = "..."`, got [augmenter]',
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["s.toml: a suite needs a [[task]] (allowed: emotion)", "s.toml: a suite needs a [[student]] or a [[teacher]]"]),
        ('student = "mlp"\ntask = [1]\n[suite]', [
            's.toml:1: student: write [[student]] for each student with `use = "..."`, got \'mlp\'',
            's.toml:2: task: write [[task]] for each task with `use = "..."`, got [1]',
        ]),
        (SMALL + "[[suite]]", ["s.toml:10: suite: write one table [suite], got [[suite]]"]),
        ("seeds = [1]" + SMALL, ["s.toml:1: seeds: the key 'seeds' belongs in the table [suite]"]),
        ("widgets = 1" + SMALL, [
            "s.toml:1: widgets: unknown table 'widgets' (allowed: [suite], [[task]], [[teacher]], [[student]], "
            "[[augmenter]], [[loss]], [[exclude]], [[tracker]])"
        ]),
        ("[suite]\nseeds = [2, 1, 2]" + SMALL, ["s.toml:2: suite.seeds: `seeds` holds 2 more than once"]),
        ("[suite]\nseeds = []" + SMALL, [
            "s.toml:2: suite.seeds: key 'seeds' of [suite] must be a list of one or more items, each an integer "
            "at least 0 and at most 4294967295, got []"
        ]),
        ("[suite]\nlatency = 1\ntime_limit = 0" + SMALL, [
            "s.toml:2: suite.latency: key 'latency' of [suite] must be true or false, got 1",
            "s.toml:3: suite.time_limit: key 'time_limit' of [suite] must be a number greater than 0, got 0",
        ]),
        ("[suite]\nbaseline = { use = 'cross-entropi' }" + SMALL, [
            "s.toml:2: suite.baseline.use: unknown loss 'cross-entropi'; did you mean 'cross-entropy'? "
            "(allowed: cross-entropy, kl, weighted)"
        ]),
        ("[suite]\nname = '../up'" + SMALL, [
            "s.toml:2: suite.name: a suite's name is made of a-z, 0-9, '.', '_' and '-', with a letter or digit "
            "first, got '../up'"
        ]),
        (SMALL + "[[student]]\nuse = 'mlp'\nwidth = 16", [
            "s.toml:10: student[1]: line 6 has student 'mlp' with the same parameters already"
        ]),
        (SMALL + "temperature = { sweep = [1, 2.0, 1.0] }", [
            "s.toml:8: loss[0]: the sweep gives loss 'kl' with the same parameters already"
        ]),
        (SMALL + "sweep = [1]", [
            "s.toml:10: loss[0].sweep: parameter 'sweep' of loss 'kl' is unknown (allowed: temperature)"
        ]),
        (SMALL + "temperature = { sweep = [1], other = 2 }", [
            "s.toml:10: loss[0].temperature.sweep: a sweep allows no other key beside it, got 'other'"
        ]),
        (SMALL + "temperature = 1\nuse = 'kl'", [
            "s.toml:11: not valid TOML: cannot overwrite a value, near: use = 'kl'"
        ]),
        ("[suite]\nname = small\n", ["s.toml:2: not valid TOML: invalid value, near: name = small"]),
        ("[suite]\nseeds = [1,\n2\n", ["s.toml:3: not valid TOML: unclosed array, near: 2"]),
        ("x = " + "[" * 9999, ["s.toml: tables or arrays are nested too deeply"]),
        (SMALL + "temperature = " + "[" * 350 + "]" * 350, ["s.toml: tables or arrays are nested too deeply"]),
    ],
)  # fmt: skip
def test_a_mistake(text: str, said: list[str]) -> None:
    assert mistakes(text) == said


def test_a_mistake_in_a_sweep_is_reported_once() -> None:
    text = SMALL.replace('use = "mlp"', 'use = "mlp"\nwidth = { sweep = [1, 2, 3] }\nvocabulary = "x"')
    (said,) = mistakes(text)
    assert said.startswith("s.toml:9: student[0].vocabulary: parameter ")


def test_a_name_that_no_file_gives_is_asked_for() -> None:
    (said,) = mistakes(SMALL, None)
    assert said.startswith("<suite>: suite.name: a suite's name is made of")
    (said,) = mistakes(SMALL, Path("My Suite.toml"))
    assert said.endswith("got 'My Suite'")


def test_a_default_that_is_not_installed_is_a_mistake() -> None:
    bare = Catalog(
        {key: entry for key, entry in CATALOG.entries.items() if key[1] not in ("none", "cross-entropy")}
    )
    with pytest.raises(SuiteError) as error:
        suite.parse(SMALL, bare, Path("s.toml"))
    assert str(error.value).splitlines() == [
        "s.toml: without an [[augmenter]] a suite uses augmenter 'none': unknown augmenter 'none' (allowed: mask)",
        "s.toml: the `baseline` for classification has no default; give [suite] a `baseline`",
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(SuiteError) as error:
            suite.load(path, CATALOG)
        return str(error.value).removeprefix(str(path))

    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "emotion.toml").write_text(SMALL)
    known = tmp_path / "suites" / "emotion.toml"
    assert message(tmp_path / "suites" / "emotoin.toml") == f": there is no such file; did you mean {known}?"
    assert message(tmp_path / "emotion") == f": there is no such file; did you mean {known}?"
    assert message(tmp_path / "nowhere" / "x.toml") == ": there is no such file"
    assert message(tmp_path) == ": the suite cannot be read: is a directory"
    known.write_bytes(b"# fine\n# \xe4\n")
    assert message(known) == ":2: the file is not UTF-8 (invalid continuation byte)"
    known.write_bytes(SMALL.encode("utf-16"))
    assert message(known) == ":1: the file is not UTF-8 (invalid start byte); save it as UTF-8, not UTF-16"


def test_sweeps_make_hundreds_of_components() -> None:
    text = SMALL.replace(
        'use = "mlp"',
        f'use = "mlp"\nwidth = {{ sweep = {list(range(1, 31))} }}\nvocabulary = {{ sweep = [1, 2, 3, 4] }}',
    ).replace('use = "kl"', f'use = "kl"\ntemperature = {{ sweep = {list(range(1, 101))} }}')
    found = parse(text)
    assert (len(found.students), len(found.losses)) == (120, 100)
