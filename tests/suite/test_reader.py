# ruff: noqa: E501  (messages stand as they are printed, one a line)
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from stand_ins import (
    CATALOG,
    SMALL,
    Cnn,
    CrossEntropy,
    Emotion,
    Kl,
    Mask,
    Minilm,
    Mlp,
    Nothing,
    Weighted,
    mistakes,
    parse,
)

from harness.catalog import Catalog, Entry
from harness.suite import reader as suite
from harness.suite.reader import Suite, SuiteError
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression

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
        time_limit="auto",
    )


def test_every_key_is_read() -> None:
    found = parse("""
        [suite]
        name = "emotion-2"
        seeds = [3, 1]
        teacher_seeds = "each"
        precision = "bf16"
        latency = false
        logits = "fp16"
        top_logits = 20
        label_parts = 12
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
        logits="fp16",
        top_logits=20,
        label_parts=12,
    )


def test_a_name_can_be_swept() -> None:
    text = SMALL.replace('use = "mlp"', 'use = { sweep = ["cnn", "mlp"] }')
    assert parse(text).students == (Cnn(), Mlp())


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert suite.load(path, CATALOG) == replace(parse(SMALL), name="marked", path=path)


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
        "s.toml:2: suite.name: a suite's name must consist of a-z, 0-9, '.', '_' and '-', "
        "with a letter or digit first, got 'Bad Name'",
        "s.toml:3: suite.sedes: key 'sedes' of [suite] is unknown; did you mean 'seeds'? "
        "(allowed: baseline, label_parts, latency, logits, name, precision, seeds, teacher_seeds, time_limit, "
        "top_logits)",
        "s.toml:5: suite.seeds[1]: key 'seeds[1]' of [suite] must be an integer at least 0 and at most "
        "4294967295, got -1",
        "s.toml:6: suite.precision: key 'precision' of [suite] must be 'auto', 'fp32' or 'bf16', got 'fp61'",
        "s.toml:7: suite.baseline: a baseline learns from labels alone, but loss 'kl' needs logits; "
        "choose a loss that needs labels only",
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
        's.toml:45: augmenter: expected a table [[augmenter]] for each augmenter with `use = "..."`, got [augmenter]',
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["s.toml: a suite needs a [[task]] (allowed: emotion)", "s.toml: a suite needs a [[student]] or a [[teacher]]"]),
        ('student = "mlp"\ntask = [1]\n[suite]', [
            's.toml:1: student: expected a table [[student]] for each student with `use = "..."`, got \'mlp\'',
            's.toml:2: task: expected a table [[task]] for each task with `use = "..."`, got [1]',
        ]),
        (SMALL + "[[suite]]", ["s.toml:10: suite: expected one table [suite], got [[suite]]"]),
        ("seeds = [1]" + SMALL, ["s.toml:1: seeds: the key 'seeds' belongs in the table [suite]"]),
        ("widgets = 1" + SMALL, [
            "s.toml:1: widgets: unknown table 'widgets' (allowed: [suite], [[task]], [[teacher]], [[student]], "
            "[[augmenter]], [[loss]], [[exclude]], [[tracker]])"
        ]),
        ("[suite]\nseeds = [2, 1, 2]" + SMALL, ["s.toml:2: suite.seeds: `seeds` contains 2 more than once"]),
        ("[suite]\nseeds = []" + SMALL, [
            "s.toml:2: suite.seeds: key 'seeds' of [suite] must be a list of one or more items, each an integer "
            "at least 0 and at most 4294967295, got []"
        ]),
        ("[suite]\nlatency = 1\ntime_limit = 0" + SMALL, [
            "s.toml:2: suite.latency: key 'latency' of [suite] must be true or false, got 1",
            "s.toml:3: suite.time_limit: key 'time_limit' of [suite] must be a number greater than 0 or 'auto' or 'none', got 0",
        ]),
        ("[suite]\nbaseline = { use = 'cross-entropi' }" + SMALL, [
            "s.toml:2: suite.baseline.use: unknown loss 'cross-entropi'; did you mean 'cross-entropy'? "
            "(allowed: cross-entropy, kl, weighted)"
        ]),
        ("[suite]\nname = '../up'" + SMALL, [
            "s.toml:2: suite.name: a suite's name must consist of a-z, 0-9, '.', '_' and '-', with a letter or digit "
            "first, got '../up'"
        ]),
        (SMALL + "[[student]]\nuse = 'mlp'\nwidth = 16", [
            "s.toml:10: student[1]: line 6 already gives student 'mlp' with the same parameters"
        ]),
        (SMALL + "temperature = { sweep = [1, 2.0, 1.0] }", [
            "s.toml:8: loss[0]: the sweep already gives loss 'kl' with the same parameters"
        ]),
        (SMALL + "sweep = [1]", [
            "s.toml:10: loss[0].sweep: parameter 'sweep' of loss 'kl' is unknown (allowed: temperature)"
        ]),
        (SMALL + "temperature = { sweep = [1], other = 2 }", [
            "s.toml:10: loss[0].temperature.sweep: a table with `sweep` allows no other key, got 'other'"
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
    assert said.startswith("<suite>: suite.name: a suite's name must consist of")
    (said,) = mistakes(SMALL, Path("My Suite.toml"))
    assert said.endswith("got 'My Suite'")


def test_a_default_that_is_not_installed_is_a_mistake() -> None:
    bare = Catalog(
        {key: entry for key, entry in CATALOG.entries.items() if key[1] not in ("none", "cross-entropy")}
    )
    with pytest.raises(SuiteError) as error:
        suite.parse(SMALL, bare, Path("s.toml"))
    assert str(error.value).splitlines() == [
        "s.toml: a suite needs an [[augmenter]], as no installed one adds no texts (allowed: mask)",
        's.toml: the `baseline` for classification has no default; set `baseline = { use = "..." }` in [suite]',
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(SuiteError) as error:
            suite.load(path, CATALOG)
        return str(error.value).removeprefix(str(path))

    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "emotion.toml").write_text(SMALL)
    known = tmp_path / "suites" / "emotion.toml"
    assert (
        message(tmp_path / "suites" / "emotoin.toml")
        == f": cannot read the suite: no such file; did you mean {known}?"
    )
    assert message(tmp_path / "emotion") == f": cannot read the suite: no such file; did you mean {known}?"
    assert message(tmp_path / "nowhere" / "x.toml") == ": cannot read the suite: no such file"
    assert message(tmp_path) == ": cannot read the suite: is a directory"
    known.write_bytes(b"# fine\n# \xe4\n")
    assert message(known) == ":2: the file is not UTF-8 (invalid continuation byte); save it as UTF-8"
    known.write_bytes(SMALL.encode("utf-16"))
    assert message(known) == ":1: the file is not UTF-8 (invalid start byte); save it as UTF-8, not UTF-16"


def test_sweeps_make_hundreds_of_components() -> None:
    text = SMALL.replace(
        'use = "mlp"',
        f'use = "mlp"\nwidth = {{ sweep = {list(range(1, 31))} }}\nvocabulary = {{ sweep = [1, 2, 3, 4] }}',
    ).replace('use = "kl"', f'use = "kl"\ntemperature = {{ sweep = {list(range(1, 101))} }}')
    found = parse(text)
    assert (len(found.students), len(found.losses)) == (120, 100)


def test_an_unknown_type_of_task_is_a_problem_with_the_nearest_match() -> None:
    @dataclass(frozen=True)
    class Tweets(Emotion):
        """Its type is misspelt."""

        name = "tweets"
        task_type: ClassVar[str] = "clasification"

    types = {
        ("task type", each.name): Entry("task type", each.name, each, "x", "x", "1", "", 0)
        for each in (Classification, Regression)
    }
    task = Entry("task", "tweets", Tweets, "x", "x", "1", "", 0)
    found = Catalog({**CATALOG.entries, **types, ("task", "tweets"): task})
    with pytest.raises(SuiteError) as error:
        suite.parse(SMALL.replace("emotion", "tweets"), found, Path("s.toml"))
    (problem,) = str(error.value).splitlines()
    assert problem.startswith("s.toml:2: task") and "'tweets'" in problem
    assert "unknown task type 'clasification'; did you mean 'classification'?" in problem
