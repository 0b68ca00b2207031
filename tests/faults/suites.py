"""Change the text of suites at random: a suite is planned, or its mistakes are named."""

from __future__ import annotations

import random
import re
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from faults import bases
from faults.forked import zygote
from faults.judge import Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.world import World

_OURS = Path(__file__).parents[2] / "suites"
_LIMIT_S = 30.0
_BATCH = 60
_MOST = 2_000_000  # characters that a command may print

# A suite of first-party components whose parameters are changed, and whose steps are then done.
TRAINED = """
    [suite]
    latency = false

    [[task]]
    use = "file"
    train = "toys.csv"
    validation_share = 0.1

    [[teacher]]
    use = "student"
    student = { use = "tfidf-logreg", ngrams = 1, strength = 1.0 }

    [[student]]
    use = "%s"
    epochs = 1
    batch_size = 16
    learning_rate = 0.01
    warmup = 0.1
    weight_decay = 0.0
    dropout = 0.1
    min_examples = 0
    patience = 0

    [[augmenter]]
    use = "mask"
    copies = 1
    p = 0.1

    [[loss]]
    use = "kl"
    temperature = 2.0
"""
STUDENTS = ("mlp", "cnn", "bigru", "fasttext")


def cases(whole: bool) -> list[Case]:
    """Return batches: 600 suites that are planned and 80 that are run, or 20 in the small form."""
    if not whole:
        return [Case("mutated suites", "planned-0", partial(planned, seed=0, count=20), "few")]
    found = [
        Case("mutated suites", f"planned-{seed}", partial(planned, seed=seed, count=_BATCH), "few")
        for seed in range(10)
    ]
    return found + [
        Case("mutated suites", f"trained-{name}", partial(trained, student=name, count=20), "guarded")
        for name in STUDENTS
    ]


def planned(world: World, seed: int, count: int) -> None:
    """Change suites, and plan each."""
    rng = random.Random(f"suites {seed}")
    (world.folder / "variables.json").unlink(missing_ok=True)
    texts = [dedent(text) for text in bases.SUITES.values()] + [
        path.read_text() for path in sorted(_OURS.glob("*.toml"))
    ]
    world.trials = count
    with zygote(world) as warm:
        for index in range(count):
            text = mutated(rng.choice(texts).encode(), rng)
            path = world.folder / f"mutated-{index}.toml"
            path.write_bytes(text)
            said = warm.ask(
                "command", "plan", path.name, "--source", rng.choice(("auto", "sample")), limit=_LIMIT_S
            )
            judge(world, said, path)


def judge(world: World, said: Any, path: Path) -> None:
    """See that a mutated input was accepted, or refused with messages; keep it with the faults if not."""
    before = len(world.faults)
    world.judge_text(said, path.name)
    world.expect(said, 0, 1, 2)  # 1: a plan with cells that would fail
    if said.status == 1 and "failed" not in said.out:
        world.fault("wrong", f"{path.name} fails without a reason: {said.out[:300]!r}")
    if said.status == 2 and not re.search(r"^(error|Error|Usage): ", said.err, re.MULTILINE):
        world.fault("wrong", f"{path.name} was refused without a message: {said.err[:300]!r}")
    if len(said.out) + len(said.err) > _MOST:
        world.fault("wrong", f"{path.name}: {len(said.out) + len(said.err):,} characters were printed")
    if len(world.faults) > before:
        world.fault("wrong", f"the input was {path.read_bytes()[:1_000]!r}")
    else:
        path.unlink()


def trained(world: World, student: str, count: int) -> None:
    """Change values of parameters, and do all steps of the suite: each is done, or says in words why not."""
    rng = random.Random(f"trained {student}")
    world.trials = count
    with zygote(world, "torch sklearn.linear_model harness.training.loop") as warm:
        for index in range(count):
            lines = dedent(TRAINED % student).splitlines()
            places = [n for n, line in enumerate(lines) if re.search(r"= [\d.]+$", line)]
            for place in rng.sample(places, rng.randint(1, 2)):
                name = lines[place].partition("=")[0]
                edge = EDGES if "." in lines[place].partition("=")[2] else WHOLE_EDGES
                lines[place] = f"{name}= {rng.choice(edge)}"
            path = world.folder / f"mutated-{index}.toml"
            path.write_text("\n".join(lines))
            said = warm.ask("faults.suites:perform_all", path.name, f"store-{index}", limit=_LIMIT_S * 2)
            judge(world, said, path)


def perform_all(suite: str, store: str, *kinds: str) -> None:
    """Plan a suite and do its steps, or those of some kinds, in this process; print the error of a step."""
    import sys

    from harness import catalog
    from harness.devices import Slot
    from harness.plan.planner import build
    from harness.run.job import perform
    from harness.storage.store import Store
    from harness.suite.reader import load
    from harness.values import HarnessError

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    found = catalog.load()
    try:
        plan = build(load(Path(suite), found), found, source="auto")
        kept = Store(Path(store))
        for step in plan.steps.values():
            if not kinds or step.kind in kinds:
                perform(step, kept, Slot("cpu"), lambda kind, details: None)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


# -- mutations --------------------------------------------------------------------------------------------

EDGES = ("0.0", "1.0", "-1.0", "1e-30", "1e30", "nan", "inf", "-inf", "0.5", "true", '"1"', "[]", "1e-300")
WHOLE_EDGES = ("0", "1", "2", "3", "-1", "1.5", "true", '"1"', "[1]", "nan", "1e2")
ODD = (
    *EDGES,
    *WHOLE_EDGES,
    *(
        "9223372036854775808",
        "99999999999999999999",
        "1_000_000",
        "0x10",
        "1979-05-27",
        "07:32:00",
        "{}",
        "[[]]",
    ),
    *(
        '""',
        '" "',
        '"\\u0000"',
        '"\\u001b[31m"',
        '"../../etc/passwd"',
        '"/dev/zero"',
        '"."',
        "'''\n'''",
        '"é\\U0001F600"',
    ),
    *(
        "{ sweep = [] }",
        "{ sweep = [1, 2, 3] }",
        "{ sweep = [1, 1] }",
        "{ sweep = { sweep = [1] } }",
        "{ sweep = 1 }",
    ),
    *('{ use = "mlp" }', '{ use = "kl" }', "{ use = 5 }", '{ use = "student", student = { use = "mlp" } }'),
    f"{{ sweep = [{', '.join(map(str, range(3_000)))}] }}",
    f'"{"x" * 100_000}"',
    "[" * 400 + "]" * 400,
    "{ a = " * 200 + "1" + " }" * 200,
)
TABLES = (
    *(
        '[[student]]\nuse = "mlp"',
        '[[student]]\nuse = "toy"',
        "[[student]]",
        "[student]",
        "[[task]]\nuse = 3",
        "[[loss]]",
    ),
    *(
        '[[exclude]]\nstudent = "mlp"',
        "[[exclude]]",
        "[[exclude]]\nnothing = 3",
        "[suite]",
        "[[suite]]",
        '[a."b\\n".c]',
    ),
    *(
        '[[tracker]]\nuse = "tensorboard"',
        '[[loss]]\nuse = "weighted"\nof = []',
        "seeds = [0]",
        "= 3",
        "[[x]]\n[x.y]\n[[x.y]]",
    ),
)


def mutated(text: bytes, rng: random.Random) -> bytes:
    """Return the text after one to four random changes."""
    for _ in range(rng.randint(1, 4)):
        text = rng.choice(CHANGES)(text, rng)
    return text


def _lines(change: Callable[[list[str], random.Random], object]) -> Callable[[bytes, random.Random], bytes]:
    def changed(text: bytes, rng: random.Random) -> bytes:
        lines = text.decode(errors="surrogateescape").splitlines() or [""]
        change(lines, rng)
        return "\n".join(lines).encode(errors="surrogateescape")

    return changed


def _value(lines: list[str], rng: random.Random) -> None:
    places = [n for n, line in enumerate(lines) if re.match(r"\s*[\w-]+\s*=", line)]
    if places:
        place = rng.choice(places)
        lines[place] = f"{lines[place].partition('=')[0]}= {rng.choice(ODD)}"


def _key(lines: list[str], rng: random.Random) -> None:
    places = [n for n, line in enumerate(lines) if re.match(r"\s*[\w-]+\s*=", line)]
    if places:
        place = rng.choice(places)
        odd = rng.choice(
            ("use", "seed", "name", '""', '"\\u001b[2J"', "a.b.c", "é", "seeds", "epochs", "x" * 500)
        )
        lines[place] = f"{odd} ={lines[place].partition('=')[2]}"


def _word(lines: list[str], rng: random.Random) -> None:
    places = [n for n, line in enumerate(lines) if '"' in line]
    if places:
        place = rng.choice(places)
        word = rng.choice(
            ("mlp", "kl", "toy", "file", "", "none", "mask", "student", "\\u001b[31m", "a" * 2000)
        )
        lines[place] = re.sub(r'"[^"]*"', f'"{word}"'.replace("\\", "\\\\"), lines[place], count=1)


def _bytes(text: bytes, rng: random.Random) -> bytes:
    data = bytearray(text)
    for _ in range(rng.randint(1, 5)):
        place = rng.randrange(len(data) + 1)
        data[place : place + rng.randint(0, 3)] = rng.choice(
            (
                b"\0",
                b"\xff",
                b"\xef\xbb\xbf",
                b'"',
                b"[",
                b"]",
                b"=",
                b"\r",
                b"\n",
                b"{",
                b"'''",
                b"#",
                b"\x1b",
                b"\xe2\x80\xa8",
            )
        )
    return bytes(data)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_lines(_value),) * 5,
    *(_lines(_key),) * 2,
    *(_lines(_word),) * 2,
    _lines(lambda lines, rng: lines.pop(rng.randrange(len(lines)))),
    _lines(lambda lines, rng: lines.insert(rng.randrange(len(lines)), rng.choice(lines))),
    _lines(lambda lines, rng: lines.insert(rng.randrange(len(lines) + 1), rng.choice(TABLES))),
    _lines(lambda lines, rng: rng.shuffle(lines)),
    _lines(lambda lines, rng: lines.extend(list(lines))),
    _lines(lambda lines, rng: lines.__delitem__(slice(rng.randrange(len(lines)), None))),
    _bytes,
    lambda text, rng: text.replace(b"\n", b"\r\n"),
    lambda text, rng: b"\xef\xbb\xbf" + text,
    lambda text, rng: text.decode(errors="replace").encode("utf-16"),
    lambda text, rng: text[: rng.randrange(len(text) + 1)],
)
