"""spaCy's networks: configured, asked, kept, and turned into pipelines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import harness
from harness import Gt, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS, SETTINGS = "model.safetensors", "model.json"
_SCORED = 16_384  # tokens that are scored at a time


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The parameters of a network, and of what it reads of a text."""

    architecture: Literal["ensemble", "bow", "cnn"] = "ensemble"
    language: Literal["en", "nl", "fr", "de", "it", "es", "xx"] = "en"  # whose tokeniser; xx: of no language
    ngrams: Annotated[int, Interval(ge=1, le=5)] = 1  # longest word n-gram, for ensemble and bow
    buckets: Annotated[int, Gt(0)] = 262_144  # that n-grams are hashed into; spaCy rounds to a power of two
    width: Annotated[int, Gt(0)] = 64  # of the embedding and the convolutions, for ensemble and cnn
    rows: Annotated[int, Gt(1)] = 2000  # of the words' embedding; prefixes, suffixes and shapes have half
    depth: Annotated[int, Gt(0)] = 2  # convolutions over three words, one upon another
    longest: Annotated[int, Gt(0)] | None = None  # tokens that are read of a text; all where none is given

    def architecture_config(self, softmax: bool) -> dict[str, Any]:
        """The model's table in a spaCy configuration; only `bow` can do without its softmax."""
        linear = {
            "@architectures": "spacy.TextCatBOW.v3",
            "exclusive_classes": True,
            "ngram_size": self.ngrams,
            "no_output_layer": not softmax or self.architecture == "ensemble",
            "length": self.buckets,
        }
        words = {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "pretrained_vectors": None,
            "width": self.width,
            "depth": self.depth,
            "embed_size": self.rows,
            "window_size": 1,
            "maxout_pieces": 3,
            "subword_features": True,
        }
        if self.architecture == "bow":
            return linear
        if self.architecture == "ensemble":
            return {
                "@architectures": "spacy.TextCatEnsemble.v2",
                "tok2vec": words,
                "linear_model": linear,
            }
        return {
            "@architectures": "spacy.TextCatReduce.v1",
            "tok2vec": words,
            "exclusive_classes": True,
            "use_reduce_first": False,
            "use_reduce_last": False,
            "use_reduce_max": False,
            "use_reduce_mean": True,
        }


class TextcatModel(harness.Model):
    """spaCy's network without its softmax, and the tokeniser of its language."""

    def __init__(self, architecture: Architecture, classes: Sequence[str]) -> None:
        import numpy as np

        from harness_spacy.encoding import encode

        self.architecture = architecture
        self.classes = tuple(classes)
        self.nlp, component = _blank(architecture, softmax=False)
        self.network = _linear(component.model)
        text = encode(self.nlp, [" "])[np.zeros(1, dtype=np.int64)]
        self.network.initialize(X=text, Y=np.zeros((1, len(classes)), dtype=np.float32))

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.Model`; spaCy's probabilities are the softmax of these logits."""
        from harness_spacy.encoding import encode

        return self.logits(encode(self.nlp, texts, self.architecture.longest))

    def logits(self, corpus: Any) -> NDArray[np.float32]:
        """Logits (N, C) of a corpus that is tokenised."""
        import numpy as np

        from harness.featurise.featuriser import batches_by_length

        logits = np.empty((len(corpus), len(self.classes)), dtype=np.float32)
        for rows in batches_by_length(corpus.tokens, _SCORED):
            logits[rows] = self.network.predict(corpus[rows])
        return logits

    def pipeline(self) -> Any:
        """A spaCy pipeline of one component, `textcat`, with these weights, to keep with ``to_disk``."""
        from spacy.training import Example

        nlp, component = _blank(self.architecture, softmax=True)
        cats = {name: float(not number) for number, name in enumerate(self.classes)}
        some = Example.from_dict(nlp.make_doc("a text"), {"cats": cats})
        component.initialize(lambda: [some], nlp=nlp, labels=self.classes)
        put(component.model, taken(self.network))
        return nlp

    def save(self, folder: Path) -> None:
        """Weights as safetensors, the classes as JSON; the rest follows from the student's parameters."""
        from safetensors.numpy import save_file

        save_file(taken(self.network), folder / WEIGHTS)
        settings = {"classes": self.classes}
        (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")

    def parameters(self) -> harness.Parameters:
        """See :class:`harness.Model`; hashed words' rows are an embedding, n-grams' weights are not."""
        sizes = {name: array.size for name, array in taken(self.network).items()}
        embedding = sum(size for name, size in sizes.items() if name.endswith("hashembed.E"))
        total = sum(sizes.values())
        return harness.Parameters(total=total, trainable=total, embedding=embedding)


def arrays(network: Any) -> Iterator[tuple[str, Any, str]]:
    """Each array of a network: a name that its place gives it, its layer, and its name there."""
    layers = [layer for layer in network.walk() if layer.param_names]
    for place, layer in enumerate(layers):
        # A linear layer stands where the softmax was.
        kind = "linear" if layer.name == "softmax" else layer.name
        for name in layer.param_names:
            yield f"{place}.{kind}.{name}", layer, name


def taken(network: Any) -> dict[str, NDArray[np.float32]]:
    """A copy of a network's arrays."""
    return {key: layer.get_param(name).copy() for key, layer, name in arrays(network)}


def put(network: Any, values: Mapping[str, NDArray[np.float32]]) -> None:
    """Give a network the arrays of another."""
    for key, layer, name in arrays(network):
        layer.set_param(name, values[key])


def _blank(architecture: Architecture, softmax: bool) -> tuple[Any, Any]:
    """A pipeline and its text classifier, not initialised."""
    import sys

    import spacy

    nlp = spacy.blank(architecture.language)
    nlp.max_length = sys.maxsize  # the limit is meant for parsers
    nlp.tokenizer.add_special_case("[MASK]", [{"ORTH": "[MASK]"}])  # a word, not one in brackets
    return nlp, nlp.add_pipe("textcat", config={"model": architecture.architecture_config(softmax)})


def _linear(network: Any) -> Any:
    """The network with its softmax layer replaced by the linear part of it, also zero at first."""
    from thinc.api import Linear, zero_init

    for layer in list(network.walk()):
        if layer.name == "softmax":
            sizes = {size: layer.maybe_get_dim(size) for size in ("nO", "nI")}
            network.replace_node(layer, Linear(**sizes, init_W=zero_init, init_b=zero_init))
    return network
