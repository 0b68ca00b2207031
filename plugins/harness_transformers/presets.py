"""Pretrained transformers by name, with pinned revisions and published hyper-parameters.

Devlin et al. fine-tune for 2–4 epochs with learning rates of 2e-5 to 5e-5 and batches of 16 or 32. The other
papers stay within that range; where they publish other values, these are the defaults of the class. A suite
can set each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from harness import Ge, Gt, Interval, Speed
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.pretrained import Pooling
from harness_transformers.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class BertBaseUncased(Transformer):
    """BERT base, English, lower-cased: 12 layers, 110 M parameters (Devlin et al., 2019)."""

    name = "bert-base-uncased"
    TOKENIZER: ClassVar[str] = "bert-base-uncased"

    model: str = "google-bert/bert-base-uncased"
    revision: str = "86b5e0934494bd15c9632b12f734a8a67f723594"
    learning_rate: Annotated[float, Gt(0)] = 2e-5
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.1


@dataclass(frozen=True, kw_only=True)
class BertBaseMultilingualCased(Transformer):
    """Multilingual BERT, cased, 104 languages: 12 layers, 178 M parameters (Devlin et al., 2019)."""

    name = "bert-base-multilingual-cased"

    model: str = "google-bert/bert-base-multilingual-cased"
    revision: str = "3f076fdb1ab68d5b2880cb87a0886f315b8146f8"
    learning_rate: Annotated[float, Gt(0)] = 2e-5
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.1


@dataclass(frozen=True, kw_only=True)
class RobertaBase(Transformer):
    """RoBERTa base, English: 12 layers, 125 M parameters (Liu et al., 2019)."""

    name = "roberta-base"
    TOKENIZER: ClassVar[str] = "roberta-base"

    model: str = "FacebookAI/roberta-base"
    revision: str = "e2da8e2f811d1448a5b465c236feacd80ffbac7b"
    learning_rate: Annotated[float, Gt(0)] = 2e-5
    weight_decay: Annotated[float, Ge(0)] = 0.1


@dataclass(frozen=True, kw_only=True)
class DistilbertBaseUncased(Transformer):
    """DistilBERT, English, lower-cased: 6 layers, 66 M parameters, from BERT base (Sanh et al., 2019)."""

    name = "distilbert-base-uncased"
    speed: ClassVar[Speed] = Speed(train=10, label=30)
    TOKENIZER: ClassVar[str] = "bert-base-uncased"

    model: str = "distilbert/distilbert-base-uncased"
    revision: str = "12040accade4e8a0f71eabdb258fecc2e7e948be"


@dataclass(frozen=True, kw_only=True)
class DistilrobertaBase(Transformer):
    """DistilRoBERTa, English: 6 layers, 82 M parameters, from RoBERTa base (Sanh et al., 2019)."""

    name = "distilroberta-base"
    speed: ClassVar[Speed] = Speed(train=10, label=30)
    TOKENIZER: ClassVar[str] = "roberta-base"

    model: str = "distilbert/distilroberta-base"
    revision: str = "fb53ab8802853c8e4fbdbcd0529f21fc6f459b2b"


@dataclass(frozen=True, kw_only=True)
class XlmRobertaBase(Transformer):
    """XLM-RoBERTa base, 100 languages: 12 layers, 278 M parameters (Conneau et al., 2020)."""

    name = "xlm-roberta-base"

    model: str = "FacebookAI/xlm-roberta-base"
    revision: str = "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089"
    learning_rate: Annotated[float, Gt(0)] = 2e-5
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.1


@dataclass(frozen=True, kw_only=True)
class DebertaV3Base(Transformer):
    """DeBERTa v3 base, English: 12 layers, 184 M parameters (He et al., 2021).

    Its tokenizer needs the extra ``sentencepiece``. Its weights are published as ``pytorch_model.bin`` only;
    nothing but tensors is read from that file.
    """

    name = "deberta-v3-base"

    model: str = "microsoft/deberta-v3-base"
    revision: str = "8ccc9b6f36199bec6961081d44eb72fb3f7353f3"
    learning_rate: Annotated[float, Gt(0)] = 2e-5
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.1


@dataclass(frozen=True, kw_only=True)
class AllMpnetBaseV2(Transformer):
    """MPNet base, English, lower-cased: 12 layers, 109 M parameters (Song et al., 2020).

    It was trained further on a billion pairs of sentences, so that the mean of its states describes a
    sentence (Reimers & Gurevych, 2019).
    """

    name = "all-mpnet-base-v2"
    SHA256: ClassVar[str] = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"

    model: str = "sentence-transformers/all-mpnet-base-v2"
    revision: str = "e8c3b32edf5434bc2275fc9bab85f82640a19130"
    learning_rate: Annotated[float, Gt(0)] = 3e-5
    pooling: Pooling = "mean"


@dataclass(frozen=True, kw_only=True)
class MultilingualE5Small(Transformer):
    """Multilingual E5 small, 94 languages: 12 layers of width 384, 118 M parameters (Wang et al., 2024).

    96 M of the parameters are embeddings of subwords. It was trained so that the mean of its states describes
    a text.
    """

    name = "multilingual-e5-small"
    speed: ClassVar[Speed] = Speed(train=20, label=65)  # twice the layers of MiniLM
    SHA256: ClassVar[str] = "1a55775f53449dac10a2bcbc312469fac40b96d53198c407081a831f81c98477"

    model: str = "intfloat/multilingual-e5-small"
    revision: str = "614241f622f53c4eeff9890bdc4f31cfecc418b3"
    learning_rate: Annotated[float, Gt(0)] = 1e-4
    pooling: Pooling = "mean"


@dataclass(frozen=True, kw_only=True)
class DistilbertSst2(Checkpoint):
    """DistilBERT, fine-tuned on SST-2 by its authors (Sanh et al., 2019) and used without training.

    Its labels are NEGATIVE and POSITIVE.
    """

    name = "distilbert-base-uncased-finetuned-sst-2-english"
    TOKENIZER: ClassVar[str] = "bert-base-uncased"

    model: str = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
    revision: str = "714eb0fa89d2f80546fda750413ed43d93601a13"
