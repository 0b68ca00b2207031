"""Teachers: models whose outputs students learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_teachers.bilstm_crf import BiLstmCrf
from harness_teachers.ensemble import Ensemble
from harness_teachers.precomputed import Precomputed
from harness_teachers.pupil import Assistant, Pupil
from harness_teachers.t5 import T5, T5Base, T5Small
from harness_transformers import presets
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.language_model import FromLanguageModel
from harness_transformers.masked_lm import MaskedLM
from harness_transformers.probe import LinearProbe
from harness_transformers.transformer import MiniLM, Transformer

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_teachers(register: Register) -> None:
    """Register this package's teachers."""
    register(MiniLM)
    register(Transformer)
    register(presets.BertBaseUncased)
    register(presets.BertBaseMultilingualCased)
    register(presets.RobertaBase)
    register(presets.DistilbertBaseUncased)
    register(presets.DistilrobertaBase)
    register(presets.XlmRobertaBase)
    register(presets.DebertaV3Base)
    register(presets.AllMpnetBaseV2)
    register(presets.MultilingualE5Small)
    register(LinearProbe)
    register(T5)
    register(T5Small)
    register(T5Base)
    register(Checkpoint)
    register(presets.DistilbertSst2)
    register(Ensemble)
    register(Precomputed)
    register(Pupil)
    register(Assistant)
    register(BiLstmCrf)
    register(MaskedLM)
    register(FromLanguageModel)
