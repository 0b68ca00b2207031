"""Write the files that belong to each exported graph: how texts become ids, the labels and the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.featurise import portable
from harness.featurise.featuriser import FILE, Featuriser
from harness.runtime.reading import LABELS, MANIFEST

TOKENIZER_CONFIG = "tokenizer_config.json"  # what Transformers needs besides tokenizer.json


def save_beside(
    featuriser: Featuriser,
    classes: Sequence[str],
    folder: Path,
    padding: int | None = None,
    inputs: Sequence[str] = ("input_ids",),
) -> None:
    """Write the featuriser, the labels and the manifest.

    If other programs can turn texts into the same ids, their files are written too: ``tokenizer.json`` with
    the vocabulary, and ``tokenizer_config.json``. They pad texts with the id `padding` (None: the
    featuriser's own) and give a model these `inputs`.
    """
    state: dict[str, Any] = {"type": featuriser.type, **featuriser.state()}
    if (parts := portable.split(state, padding)) is not None:
        state, tokenizer = parts
        _write(folder / portable.FILE, tokenizer)
        _write(folder / TOKENIZER_CONFIG, _config(tokenizer, state, inputs))
    _write(folder / FILE, state)
    _write(folder / LABELS, list(classes))
    _write(folder / MANIFEST, {"format": 1, "featuriser": type(featuriser).__module__})


def _write(path: Path, value: Any) -> None:
    separators = (",", ":") if path.name == portable.FILE else None  # it is the only large one
    path.write_text(json.dumps(value, ensure_ascii=False, separators=separators), encoding="utf-8")


def _config(tokenizer: Mapping[str, Any], state: Mapping[str, Any], inputs: Sequence[str]) -> dict[str, Any]:
    """Return the contents of ``tokenizer_config.json``."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": state["longest"],
        "model_input_names": list(inputs),
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
        # Names of special tokens are words like others in texts for a vocabulary of words.
        **({"split_special_tokens": True} if state["type"] == "words" else {}),
        **dict(_special(tokenizer, state)),
    }


def _special(tokenizer: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the roles and names of special tokens; other names would change how texts are split."""
    if state["type"] == "words":
        yield from (("pad_token", portable.PADDING), ("unk_token", portable.UNKNOWN))
        return
    from tokenizers import Tokenizer

    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    if (padding := tokenizer["padding"]["pad_id"]) in special:
        yield "pad_token", special[padding]
    names = [tokenizer["model"].get("unk_token"), "[MASK]", "<mask>"]
    if "mask" in state:
        names[1:] = [portable.token_of(tokenizer, state["mask"])]
    for role, name in zip(("unk_token", "mask_token", "mask_token"), names, strict=False):
        if name in special.values():
            yield role, str(name)

    ids = Tokenizer.from_str(json.dumps(tokenizer)).encode("").ids  # those around each text
    if ids and ids[0] in special:
        yield "cls_token", special[ids[0]]
    if ids and ids[-1] in special:
        yield "sep_token", special[ids[-1]]
