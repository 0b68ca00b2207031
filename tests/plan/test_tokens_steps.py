"""Steps that turn texts into ids: which students share one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from test_planner import Big, Forest, Gold, Kl, Noise, Tiny, Words, counts, of, planned, the

import harness
from harness.api import Tokeniser
from harness.catalog import Catalog, load
from harness.plan.planner import Plan
from harness_students.convolutional import Cnn
from harness_students.fasttext import FastText
from harness_students.recurrent import BiGru
from harness_students.static import Static
from harness_students.telling import FrequentWords
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp
from harness_transformers.transformer import MiniLM


@dataclass(frozen=True)
class Letters(Tokeniser):
    """Letters, and logits if it needs them."""

    name = "letters"

    size: int = 9


@dataclass(frozen=True)
class Graded(Letters):
    """Letters by the teacher's logits."""

    name = "graded"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})


@dataclass(frozen=True)
class Reader(Tiny):
    """A student that reads letters."""

    name = "reader"

    letters: Tokeniser = Letters()

    def tokeniser(self, teacher: harness.Teacher | None = None) -> Tokeniser | None:
        return self.letters


@dataclass(frozen=True)
class Broken(Tiny):
    """A student whose tokeniser cannot be told."""

    name = "broken"

    def tokeniser(self, teacher: harness.Teacher | None = None) -> Tokeniser | None:
        raise RuntimeError("no")


def needs_of(plan: Plan, role: str) -> list[Mapping[str, str]]:
    """The needs of the tokens steps of a role's cells."""
    keys = {cell.steps["tokens"] for cell in of(plan, role)}
    return [plan.steps[key].needs for key in keys]


def test_students_losses_and_seeds_share_their_ids() -> None:
    plan = planned(
        students=(Reader(1), Reader(2), Reader(3, Letters(8)), Forest()),
        losses=(Kl(1.0), Kl(2.0)),
        seeds=(0, 1, 2),
    )
    assert counts(plan)["tokens"] == 4  # two tokenisers, of the transfer set and of the training set
    for cell in (cell for cell in of(plan, "distilled") if cell.status == "ok"):
        student = plan.steps[cell.steps["student"]]
        assert student.needs["tokens"] == cell.steps["tokens"]
        assert student.components["tokeniser"] == cell.student.tokeniser()  # type: ignore[union-attr]
        assert set(plan.steps[cell.steps["tokens"]].needs) == {"data", "transfer"}
    alone = [cell for cell in of(plan, "baseline") if isinstance(cell.student, Reader)]
    assert [set(plan.steps[cell.steps["tokens"]].needs) for cell in alone] == [{"data"}] * 9


def test_other_texts_have_other_ids() -> None:
    plan = planned(
        students=(Reader(),), tasks=(Words(0, "a"), Words(1, "b")), augmenters=(Noise(0), Noise(1))
    )
    assert counts(plan)["tokens"] == 2 + 4


def test_ids_of_logits_wait_for_them() -> None:
    plan = planned(students=(Reader(letters=Graded()),), teachers=(Big(1), Big(2)), losses=(Kl(), Gold()))
    assert sorted(map(sorted, needs_of(plan, "distilled"))) == [["data", "targets", "transfer"]] * 2
    assert sorted(map(sorted, needs_of(plan, "baseline"))) == [["data"], ["data", "transfer"]]


def test_students_that_do_not_tell_have_no_such_step() -> None:
    plan = planned(students=(Tiny(), Broken()))
    assert "tokens" not in counts(plan)
    assert "tokens" not in the(planned(), "distilled").steps


def test_kinds_of_students_share_a_vocabulary() -> None:
    mlp, cnn, gru = (kind(vocabulary=99) for kind in (Mlp, Cnn, BiGru))
    assert mlp.tokeniser() == cnn.tokeniser() == gru.tokeniser() != Mlp(vocabulary=98).tokeniser()
    assert mlp.tokeniser() != replace(mlp, words="telling").tokeniser()
    assert FastText(width=3).tokeniser() == FastText().tokeniser() != FastText(buckets=9).tokeniser()


def test_kinds_of_students_share_the_tokenizer_of_a_transformer() -> None:
    lender, longer = MiniLM(epochs=9), MiniLM(longest=64)
    taught = Static().tokeniser(MiniLM())
    assert taught == Static(embeddings=lender).tokeniser() == BiGru(embeddings=lender).tokeniser()
    assert taught == TransformerStudent().tokeniser(lender) == TransformerStudent(start=lender).tokeniser()
    assert taught != Static(embeddings=longer).tokeniser() and taught != Static(longest=9).tokeniser(lender)
    assert Static().tokeniser(Big()) is None  # only its fitted model knows


def test_a_featuriser_of_its_own_is_not_shared() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own(Mlp):
        """Texts become other ids."""

        name = "own"

        def featuriser(self, transfer: harness.Examples) -> Any:
            raise NotImplementedError

    assert Mlp().tokeniser() is not None and Own().tokeniser() is None


def test_a_tokeniser_is_of_the_package_of_its_module() -> None:
    catalog = load()
    assert catalog.package_of(FrequentWords(vocabulary=9, longest=9)) == catalog.package_of(Mlp())
    assert Catalog({}).package_of(Letters()) == catalog.package_of(Mlp())  # the core's version
