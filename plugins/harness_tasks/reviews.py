"""Sentiment of reviews of products, hotels and restaurants in six languages, of films, and of tweets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Lt

from harness.api import SPLITS, HarnessError, Source
from harness.sources import HubSet, find_splits
from harness_tasks.carving import carve
from harness_tasks.derived import DerivedTask, balanced, renamed, without_labels, without_shared

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

STARS = {"1": "negative", "2": "negative", "3": "neutral", "4": "positive", "5": "positive"}
CLASSES = ("negative", "neutral", "positive")


@dataclass(frozen=True)
class Reviews(DerivedTask):
    """Sentiment of reviews in English, Dutch, French, German, Italian or Spanish.

    The local folder is ``reviews/<language>.<corpus>``. Examples of corpora are cls-books, the books of
    Webis-CLS-10 (Prettenhofer and Stein, 2010, ACL, P10-1114; en, fr, de); semeval16-restaurants (Pontiki et
    al., 2016, S16-1002; en, nl, fr, es); opener-hotel (Barnes et al., 2018, P18-1231; en, es); and
    customer-reviews (Hu and Liu, 2004; en). Labels are polarities or stars: 1 and 2 are negative, 3 is
    neutral, 4 and 5 are positive. The sample corpus depends on the language only.
    """

    name = "reviews"
    language: Literal["en", "nl", "fr", "de", "it", "es"] = "en"  # language of the reviews
    corpus: str = "cls-books"  # part of the folder's name after the language
    neutral: bool = False  # keep neutral reviews, as a third class
    balanced: Annotated[int, Ge(3)] | None = None  # texts per split, equally many of each class; default: all
    drop_shared: bool = False  # drop training texts that are in validation or test too (CLS: about 2 %)
    split_seed: Annotated[int, Ge(0)] = 0  # seed for the choice of the balanced subset

    @property
    def folder(self) -> str:  # type: ignore[override]
        """Return the local folder, relative to $HARNESS_DATA."""
        return f"reviews/{self.language}.{self.corpus}"

    def check(self) -> None:
        """Raise ValueError for a corpus name that could be a path."""
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.corpus):
            raise ValueError(f"expected corpus to be a name such as 'cls-books', got {self.corpus!r}")

    def recipe(self, source: Source) -> str:
        """Return a description of the rows that are kept."""
        steps = [
            self.language if source.name == "sample" else "",
            "" if self.neutral else "neutral dropped",
            "shared dropped" if self.drop_shared else "",
            f"{self.balanced} a split, seed {self.split_seed}" if self.balanced else "",
        ]
        return ", ".join(filter(None, steps))

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Replace stars by polarities, and return the rows that the parameters select."""
        tables = renamed(tables, STARS)
        for split in SPLITS:
            for label in tables[split]["label"].to_pylist():
                if label is not None and label not in CLASSES:
                    raise HarnessError(
                        f"unknown label {label!r} in the {split} split of {self.folder}; "
                        f"expected {', '.join(CLASSES)}, or 1 to 5 stars"
                    )
        if not self.neutral:
            tables = without_labels(tables, {"neutral"})
        if self.drop_shared:
            tables = without_shared(tables)
        return balanced(tables, self.balanced, self.split_seed) if self.balanced else tables

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate reviews in the language; see :mod:`harness_tasks.sentiment.corpus`."""
        from harness_tasks.sentiment.corpus import Plan, corpus, language

        sizes = {"train": 1000, "validation": 400, "test": 1000, "unlabelled": 4000}
        return corpus(language(self.language), Plan(sizes), generator)


@dataclass(frozen=True)
class TweetsSentiment(DerivedTask):
    """Sentiment of tweets in English, French, German, Italian or Spanish: negative, neutral or positive.

    The Unified Multilingual Sentiment Analysis Benchmark (Barbieri et al., 2022, LREC, 2022.lrec-1.27), with
    equally many tweets of each class: 1,839 to train on, 324 for validation, 870 for test in each language.
    The local folder is ``tweets-sentiment-umsab/<language>``. The sample corpus is that of `reviews`.
    """

    name = "tweets-sentiment"
    language: Literal["en", "fr", "de", "it", "es"] = "en"  # language of the tweets
    neutral: bool = True  # keep neutral tweets

    @property
    def folder(self) -> str:  # type: ignore[override]
        """Return the local folder, relative to $HARNESS_DATA."""
        return f"tweets-sentiment-umsab/{self.language}"

    def recipe(self, source: Source) -> str:
        """Return a description of the rows that are kept."""
        steps = [self.language if source.name == "sample" else "", "" if self.neutral else "neutral dropped"]
        return ", ".join(filter(None, steps))

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the rows that the parameters select."""
        return tables if self.neutral else without_labels(tables, {"neutral"})

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate reviews in the language; see :mod:`harness_tasks.sentiment.corpus`."""
        return Reviews(language=self.language).sample(generator)


@dataclass(frozen=True)
class Imdb(DerivedTask):
    """Sentiment of film reviews, positive or negative (Maas et al., 2011, ACL, P11-1015).

    25,000 training, 25,000 test and 50,000 unlabelled reviews. Without a local validation file, the
    validation split is carved out of the training split, the same share of each class.
    """

    name = "imdb"
    class_names = ("negative", "positive")
    hub = HubSet(
        "stanfordnlp/imdb",
        revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
        config="plain_text",
        splits={"train": "train", "test": "test", "unlabelled": "unsupervised"},
    )
    validation_share: Annotated[float, Gt(0), Lt(1)] = (
        0.1  # share of the training texts, used if there is no validation file
    )
    split_seed: Annotated[int, Ge(0)] = 0  # seed for the choice of the carved rows

    def local_files(self) -> dict[str, Path]:
        """Return the path of each split's file; a validation file is optional."""
        return find_splits(self.local_folder(), ("train", "test"))

    def recipe(self, source: Source) -> str:
        """Return a description of the validation split if it is carved out of training, else ""."""
        if "validation" in self.splits_of(source):
            return ""
        return f"validation = {self.validation_share} of train, seed {self.split_seed}"

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the splits with the classes renamed, and with a validation split."""
        tables = renamed(tables, {"neg": "negative", "pos": "positive"})
        if "validation" not in tables:
            tables |= carve(tables["train"], {"validation": self.validation_share}, self.split_seed)
        return tables

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate long film reviews; see :mod:`harness_tasks.sentiment.corpus`."""
        from harness_tasks.sentiment.corpus import Plan, corpus
        from harness_tasks.sentiment.en import FILMS

        sizes = {"train": 1000, "validation": 300, "test": 600, "unlabelled": 2000}
        return corpus(FILMS, Plan(sizes, clauses=(5, 9), mixed=0.3), generator)
