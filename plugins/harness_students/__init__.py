"""Students: small models that learn a transfer set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_students.convolutional import Cnn
from harness_students.fasttext import FastText
from harness_students.recurrent import BiGru, BiLstm, Gru, Lstm, TangBiLstm
from harness_students.static import Static
from harness_students.taggers import BiLstmTagger, CnnTagger
from harness_students.tfidf import TfidfLogreg, TfidfSvm
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_students(register: Register) -> None:
    """Register this package's students."""
    register(TfidfLogreg)
    register(TfidfSvm)
    register(Mlp)
    register(FastText)
    register(Cnn)
    register(Lstm)
    register(Gru)
    register(BiLstm)
    register(BiGru)
    register(TangBiLstm)
    register(Static)
    register(TransformerStudent)
    register(CnnTagger)  # first, as the faster one: harness distill takes taggers in this order
    register(BiLstmTagger)
