"""spaCy's text classification networks: configuration, predictions, files and pipelines."""

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
_SCORED = 16_384  # tokens per batch in prediction


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The parameters of a network and of its tokeniser."""

    architecture: Literal["ensemble", "bow", "cnn"] = "ensemble"
    language: Literal["en", "nl", "fr", "de", "it", "es", "xx"] = "en"  # of the tokeniser; "xx": any language
    ngrams: Annotated[int, Interval(ge=1, le=5)] = 1  # longest word n-gram (ensemble, bow)
    buckets: Annotated[int, Gt(0)] = 262_144  # for hashed n-grams; spaCy rounds up to a power of two
    width: Annotated[int, Gt(0)] = 64  # of the embedding and the convolutions (ensemble, cnn)
    rows: Annotated[int, Gt(1)] = (
        2000  # of the word embedding; half as many for prefixes, suffixes and shapes
    )
    depth: Annotated[int, Gt(0)] = 2  # number of stacked convolutions, each over three words
    longest: Annotated[int, Gt(0)] | None = None  # maximum number of tokens read from a text; None: all

    def architecture_config(self, softmax: bool) -> dict[str, Any]:
        """Return the model's table of a spaCy configuration. Only `bow` can be built without a softmax."""
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
    """A spaCy network without its softmax layer, and a tokeniser."""

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
        """Return the logits (N, C) of texts; spaCy's probabilities are their softmax."""
        from harness_spacy.encoding import encode

        return self.logits(encode(self.nlp, texts, self.architecture.longest))

    def logits(self, corpus: Any) -> NDArray[np.float32]:
        """Return the logits (N, C) of a tokenised corpus."""
        import numpy as np

        from harness.featurise.featuriser import batches_by_length

        logits = np.empty((len(corpus), len(self.classes)), dtype=np.float32)
        for rows in batches_by_length(corpus.tokens, _SCORED):
            logits[rows] = self.network.predict(corpus[rows])
        return logits

    def pipeline(self) -> Any:
        """Return a spaCy pipeline with one component, `textcat`. Its method ``to_disk`` saves it."""
        from spacy.training import Example

        nlp, component = _blank(self.architecture, softmax=True)
        cats = {name: float(not number) for number, name in enumerate(self.classes)}
        some = Example.from_dict(nlp.make_doc("a text"), {"cats": cats})
        component.initialize(lambda: [some], nlp=nlp, labels=self.classes)
        put(component.model, taken(self.network))
        return nlp

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors and the classes as JSON.

        The architecture is not written: the student's parameters describe it.
        """
        from safetensors.numpy import save_file

        save_file(taken(self.network), folder / WEIGHTS)
        settings = {"classes": self.classes}
        (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")

    def parameters(self) -> harness.Parameters:
        """Count the parameters. Rows for hashed words are an embedding, weights of n-grams are not."""
        sizes = {name: array.size for name, array in taken(self.network).items()}
        embedding = sum(size for name, size in sizes.items() if name.endswith("hashembed.E"))
        total = sum(sizes.values())
        return harness.Parameters(total=total, trainable=total, embedding=embedding)


def arrays(network: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield, for each array of a network, a name that includes its position, its layer, and its own name."""
    layers = [layer for layer in network.walk() if layer.param_names]
    for place, layer in enumerate(layers):
        # The softmax is replaced by a linear layer: both have the same name here.
        kind = "linear" if layer.name == "softmax" else layer.name
        for name in layer.param_names:
            yield f"{place}.{kind}.{name}", layer, name


def taken(network: Any) -> dict[str, NDArray[np.float32]]:
    """Return a copy of a network's arrays."""
    return {key: layer.get_param(name).copy() for key, layer, name in arrays(network)}


def put(network: Any, values: Mapping[str, NDArray[np.float32]]) -> None:
    """Set a network's arrays to those of another network, from :func:`taken`."""
    for key, layer, name in arrays(network):
        layer.set_param(name, values[key])


def _blank(architecture: Architecture, softmax: bool) -> tuple[Any, Any]:
    """Return a pipeline and its text classifier, not initialised."""
    import sys

    import spacy

    nlp = spacy.blank(architecture.language)
    nlp.max_length = sys.maxsize  # the length limit is meant for parsers
    nlp.tokenizer.add_special_case("[MASK]", [{"ORTH": "[MASK]"}])  # one token, not a word in brackets
    return nlp, nlp.add_pipe("textcat", config={"model": architecture.architecture_config(softmax)})


def _linear(network: Any) -> Any:
    """Replace the softmax layer by its linear part, with zero initial weights, and return the network."""
    from thinc.api import Linear, zero_init

    for layer in list(network.walk()):
        if layer.name == "softmax":
            sizes = {size: layer.maybe_get_dim(size) for size in ("nO", "nI")}
            network.replace_node(layer, Linear(**sizes, init_W=zero_init, init_b=zero_init))
    return network
