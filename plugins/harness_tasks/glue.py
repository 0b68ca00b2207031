"""Tasks of GLUE (Wang et al., 2019, ICLR, arXiv 1804.07461).

GLUE's test labels are not public, so the test split is half of GLUE's validation split, unless a local file
provides one. Tasks on pairs of texts join the two with PAIR_SEPARATOR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge

from harness.api import PAIR_SEPARATOR, HarnessError, Source, Unavailable
from harness.sources import DatasetTask, HubSet, find_splits, read_hub, read_table
from harness_tasks.carving import carve
from harness_tasks.derived import DerivedTask

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from harness_tasks.pair_sample import Relation, Style

REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"  # commit of nyu-mll/glue


def glue(config: str, text: str, validation: str = "validation") -> HubSet:
    """Return GLUE's train and validation splits of one task, as they are on the hub."""
    return HubSet(
        "nyu-mll/glue", REVISION, config, text=text, splits={"train": "train", "validation": validation}
    )


@dataclass(frozen=True)
class Glue(DerivedTask):
    """A task that splits validation into validation and test halves if its source has no test split."""

    split_seed: Annotated[int, Ge(0)] = 0  # seed for the division of the validation split

    def local_files(self) -> dict[str, Path]:
        """Return the path of each split's file; a test file is optional."""
        return find_splits(self.local_folder(), ("train", "validation"))

    def recipe(self, source: Source) -> str:
        """Return a description of the test split if it is half of the validation split, else ""."""
        if "test" in self.splits_of(source):
            return ""
        return f"test = half of validation, seed {self.split_seed}"

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the splits; if test is missing, it is half of each class of the validation split."""
        if "test" in tables:
            return tables
        halves = carve(tables["validation"], {"test": 0.5}, self.split_seed)
        return {**tables, "validation": halves["train"], "test": halves["test"]}


@dataclass(frozen=True)
class Sst2(Glue):
    """Sentiment of phrases from film reviews, in two classes (Socher et al., 2013, EMNLP, D13-1170; GLUE).

    67,349 training phrases, cut from the treebank's training sentences, and 872 validation sentences. GLUE's
    test labels are not public. So the test split is either the treebank's 1,821 public test sentences, a
    local file, or half of the validation split. Do not carve a test split out of the phrases: they overlap.
    """

    name = "sst2"
    class_names = ("negative", "positive")
    hub = glue("sst2", "sentence")
    test: Literal["auto", "treebank", "half"] = "auto"  # "auto": the treebank's if its file exists, else half

    def local_files(self) -> dict[str, Path]:
        """Return the path of each split's file; test is required for "treebank" and ignored for "half"."""
        if self.test == "treebank":
            return find_splits(self.local_folder())
        files = super().local_files()
        return {split: path for split, path in files.items() if split != "test" or self.test != "half"}

    def resolve(self, source: str) -> Source:
        """Return the source to use; raise Unavailable for a treebank test split from the hub."""
        if source == "hub" and self.test == "treebank":
            raise Unavailable(
                "task 'sst2' has no treebank test split on the hub; set test = \"half\", or use a local file"
            )
        return super().resolve(source)

    def recipe(self, source: Source) -> str:
        """Return a description of the test split if it is half of the validation split, else ""."""
        if self.test == "half":
            return f"test = half of validation, seed {self.split_seed}"
        return super().recipe(source)

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the splits; test is half of the validation split if that is asked for or test is missing."""
        if self.test == "half":
            tables = {split: table for split, table in tables.items() if split != "test"}
        return super().derive(tables)

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate phrases and sentences about films; see :mod:`harness_tasks.sentiment.corpus`."""
        from harness_tasks.sentiment.corpus import Plan, corpus
        from harness_tasks.sentiment.en import FILMS

        sizes = {"train": 3000, "validation": 400, "test": 800, "unlabelled": 4000}
        return corpus(FILMS, Plan(sizes, clauses=(1, 1), fragments=0.6, positive=0.55), generator)


@dataclass(frozen=True)
class Sst2Sentences(DatasetTask):
    """Sentiment of sentences from film reviews, in two classes (Socher et al., 2013, EMNLP, D13-1170).

    The treebank's whole sentences without the neutral ones: 6,920 training, 872 validation and 1,821 test.
    """

    name = "sst2-sentences"
    class_names = ("negative", "positive")

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate sentences about films; see :mod:`harness_tasks.sentiment.corpus`."""
        from harness_tasks.sentiment.corpus import Plan, corpus
        from harness_tasks.sentiment.en import FILMS

        sizes = {"train": 1000, "validation": 400, "test": 800, "unlabelled": 4000}
        return corpus(FILMS, Plan(sizes, clauses=(1, 2)), generator)


@dataclass(frozen=True)
class Cola(Glue):
    """Grammatical acceptability of English sentences (CoLA: Warstadt et al., 2019, TACL, arXiv 1805.12471).

    8,551 training and 1,043 validation sentences from linguistics papers; half of the latter are the test
    split. About 70 % are acceptable, so the headline is Matthews' correlation.
    """

    name = "cola"
    headline = "matthews"
    class_names = ("unacceptable", "acceptable")
    hub = glue("cola", "sentence")

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate acceptable and unacceptable sentences; see :mod:`harness_tasks.cola_sample`."""
        from harness_tasks.cola_sample import corpus

        return corpus(generator)


@dataclass(frozen=True)
class GluePair(Glue):
    """A task on pairs of texts, which are read from two columns and joined with PAIR_SEPARATOR."""

    second_column: ClassVar[str] = ""  # column with the second text; `text_column` has the first
    relations: ClassVar[Mapping[str, tuple[Relation, ...]]] = {}  # by class, in the sample corpus
    style: ClassVar[Style] = "statements"  # style of the texts in the sample corpus

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate pairs of short English texts; see :mod:`harness_tasks.pair_sample`."""
        from harness_tasks.pair_sample import corpus

        return corpus(self.relations, self.style, PAIR_SEPARATOR, generator)

    def _read_local(self, source: Source) -> Mapping[str, pa.Table]:
        firsts = super()._read_local(source)
        files = self.local_files()
        return {
            split: joined(first, read_table(files[split], text=self.second_column, label=None))
            for split, first in firsts.items()
        }

    def _read_hub(self) -> Mapping[str, pa.Table]:
        firsts = super()._read_hub()
        assert self.hub is not None
        seconds = read_hub(replace(self.hub, text=self.second_column), self.class_names)
        return {split: joined(first, seconds[split]) for split, first in firsts.items()}


def joined(first: pa.Table, second: pa.Table) -> pa.Table:
    """Return the first table, with the texts of the second appended to its own."""
    from pyarrow import compute as pc

    texts = pc.binary_join_element_wise(first["text"], second["text"], PAIR_SEPARATOR)
    return first.set_column(first.column_names.index("text"), "text", texts)


@dataclass(frozen=True)
class Mrpc(GluePair):
    """Paraphrases among pairs of news sentences (MRPC: Dolan and Brockett, 2005, I05-5002; GLUE).

    GLUE reports accuracy, and the F1 of the class of paraphrases.
    """

    name = "mrpc"
    headline = "f1"
    positive = "equivalent"
    class_names = ("not_equivalent", "equivalent")
    text_column, second_column = "sentence1", "sentence2"
    hub = glue("mrpc", "sentence1")
    relations = MappingProxyType({"equivalent": ("same",), "not_equivalent": ("opposite", "other")})


@dataclass(frozen=True)
class Qqp(GluePair):
    """Duplicates among pairs of questions on Quora (QQP; GLUE).

    GLUE reports accuracy, and the F1 of the class of duplicates.
    """

    name = "qqp"
    headline = "f1"
    positive = "duplicate"
    class_names = ("not_duplicate", "duplicate")
    text_column, second_column = "question1", "question2"
    hub = glue("qqp", "question1")
    relations = MappingProxyType({"duplicate": ("same",), "not_duplicate": ("opposite", "other")})
    style = "questions"


@dataclass(frozen=True)
class Mnli(GluePair):
    """Entailment of a hypothesis by a premise (MultiNLI, matched: Williams et al., 2018, N18-1101; GLUE)."""

    name = "mnli"
    class_names = ("entailment", "neutral", "contradiction")
    text_column, second_column = "premise", "hypothesis"
    hub = glue("mnli", "premise", validation="validation_matched")
    relations = MappingProxyType(
        {"entailment": ("same",), "neutral": ("other",), "contradiction": ("opposite",)}
    )


@dataclass(frozen=True)
class Qnli(GluePair):
    """Answerability of a question by a sentence (QNLI: Rajpurkar et al., 2016, D16-1264; GLUE).

    The pairs come from SQuAD.
    """

    name = "qnli"
    class_names = ("entailment", "not_entailment")
    text_column, second_column = "question", "sentence"
    hub = glue("qnli", "question")
    relations = MappingProxyType({"entailment": ("same",), "not_entailment": ("other",)})
    style = "answer"


@dataclass(frozen=True)
class Rte(GluePair):
    """Entailment of a sentence by a text (RTE 1, 2, 3 and 5: Dagan et al., 2006; GLUE)."""

    name = "rte"
    class_names = ("entailment", "not_entailment")
    text_column, second_column = "sentence1", "sentence2"
    hub = glue("rte", "sentence1")
    relations = MappingProxyType({"entailment": ("same",), "not_entailment": ("opposite", "other")})


@dataclass(frozen=True)
class Stsb(GluePair):
    """Similarity of two sentences in meaning, a score from 0 to 5 (STS-B: Cer et al., 2017, S17-2001; GLUE).

    A regression task. GLUE reports Pearson's and Spearman's correlation.
    """

    name = "stsb"
    task_type = "regression"
    headline = "pearson"
    text_column, second_column = "sentence1", "sentence2"
    hub = glue("stsb", "sentence1")

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the splits with labels as numbers; if test is missing, it is half of the validation split.

        Both halves have equally many pairs of every rounded score.
        """
        import pyarrow as pa

        scored = {split: numbered(table, f"{self.name} ({split})") for split, table in tables.items()}
        if "test" in scored:
            return scored
        validation = scored["validation"]
        rounded = [None if score is None else round(score) for score in validation["label"].to_pylist()]
        binned = validation.rename_columns(["text", "score"]).append_column("label", pa.array(rounded))
        halves = carve(binned, {"test": 0.5}, self.split_seed)
        parts = {split: half.drop_columns(["label"]) for split, half in halves.items()}
        parts = {split: half.rename_columns(["text", "label"]) for split, half in parts.items()}
        return {**scored, "validation": parts["train"], "test": parts["test"]}

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate pairs of statements of different similarity; see :mod:`harness_tasks.pair_sample`."""
        from harness_tasks.pair_sample import graded

        return graded(PAIR_SEPARATOR, generator)


def numbered(table: pa.Table, shown: str) -> pa.Table:
    """Return the table with its labels as numbers; missing labels and NaN become null."""
    import pyarrow as pa
    from pyarrow import compute as pc

    if "label" not in table.column_names:
        return table
    try:
        scores = table["label"].cast(pa.float32())
    except pa.ArrowInvalid as error:
        why = str(error).partition("\n")[0]
        raise HarnessError(f"{shown} has a label that is not a number: {why}") from None
    scores = pc.if_else(pc.is_nan(scores), None, scores)
    if pc.any(pc.is_inf(scores)).as_py():
        raise HarnessError(f"{shown} has an infinite label; expected a finite number such as 3.5")
    return table.set_column(table.column_names.index("label"), "label", scores)
