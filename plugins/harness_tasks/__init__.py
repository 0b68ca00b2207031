"""Tasks on public data sets, and on your own files or data sets."""

from __future__ import annotations

import harness
from harness.hookspecs import Register
from harness_tasks.conll import ConllFile
from harness_tasks.emotion import Emotion
from harness_tasks.file import File
from harness_tasks.glue import Cola, Mnli, Mrpc, Qnli, Qqp, Rte, Sst2, Sst2Sentences, Stsb
from harness_tasks.hub import Hub
from harness_tasks.ner import Btc, Wnut16, Wnut17
from harness_tasks.regression import FileRegression, HubRegression
from harness_tasks.reviews import Imdb, Reviews, TweetsSentiment
from harness_tasks.text_file import TextFile
from harness_tasks.tweets import Tweets

TASKS = (
    *(Emotion, File, Sst2, Sst2Sentences, Reviews, TweetsSentiment, Imdb),
    *(Cola, Mrpc, Qqp, Mnli, Qnli, Rte, Stsb, Hub),
    *(Wnut17, Btc, Wnut16, ConllFile),
    *(Tweets, TextFile),
    *(FileRegression, HubRegression),
)


@harness.hookimpl
def register_tasks(register: Register) -> None:
    """Register this package's tasks."""
    for task in TASKS:
        register(task)
