"""Masked language models: what they are made of, that they learn, and that nothing is lost on disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import pytest
import torch
import transformers

from harness import Examples, HarnessError, catalog
from harness.featurise.featuriser import MaskedSubwords
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.token_scores import language_modelling
from harness.testing.tiny import CheckContext, tiny_examples
from harness_transformers import language, wordpiece
from harness_transformers.language import MaskedLanguageModel, pretrained_language_model
from harness_transformers.masked_lm import MaskedLM
from harness_transformers.token_types import drop_types
from harness_transformers.transformer import MiniLM, Transformer

HIDDEN = MaskedLanguageModelling()

Folder = Callable[[str], Path]
KINDS = ["masked-bert", "masked-roberta", "masked-distilbert"]
SMALL: dict[str, Any] = {
    "vocabulary": 256,
    "width": 32,
    "layers": 2,
    "heads": 2,
    "feedforward": 64,
    "longest": 12,
    "batch_size": 16,
}
# Any word of these is told by its neighbours.
GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "mu", "nu")
CHANTS = [" ".join([word] * times) for times in (3, 5, 7) for word in GREEK] * 8


def texts(of: list[str]) -> Examples:
    return Examples(of, ())


def started(folder: Path, context: CheckContext) -> tuple[MaskedLanguageModel, MaskedSubwords]:
    return pretrained_language_model(Transformer(model=str(folder), longest=16), context)


def batch(module: MaskedLanguageModel) -> torch.Tensor:
    """Two texts, the second of them padded; no id is special."""
    ids = torch.tensor([[0, 5, 7, 9, 11, 2], [0, 6, 8, 2, 2, 2]])
    ids[1, 4:] = module.padding
    return ids


# -- what the module gives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(kind: str, folder_of: Folder, context: CheckContext) -> None:
    module, featuriser = started(folder_of(kind), context)
    reference = transformers.AutoModelForMaskedLM.from_pretrained(folder_of(kind)).eval()
    ids = batch(module)
    mask = (ids != module.padding).long()
    with torch.no_grad():
        due = reference(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        found = module.eval()(ids)
    assert found.shape == (2, 6, featuriser.size)
    torch.testing.assert_close(found[mask > 0], due.logits[mask > 0], rtol=1e-5, atol=1e-5)
    marked = ids.clone()
    marked[0, 4] += module.size
    marked[0, 1] += module.size
    marked[1, 2] += module.size
    with torch.no_grad():
        torch.testing.assert_close(module(marked), found)
        shown = module.outputs(marked, {"hidden", "layers", "attention"})
    rows, columns = [0, 0, 1], [1, 4, 2]  # text by text
    torch.testing.assert_close(shown["logits"], due.logits[rows, columns], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(shown["hidden"], due.hidden_states[-1][rows, columns], rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(shown["layers"], due.hidden_states, strict=True):
        torch.testing.assert_close(ours[mask > 0], theirs[mask > 0], rtol=1e-5, atol=1e-5)
    assert [maps.shape for maps in shown["attention"]] == [(2, 2, 6, 6)] * 2


def test_nothing_marked_gives_no_rows(folder_of: Folder, context: CheckContext) -> None:
    module, featuriser = started(folder_of("masked-bert"), context)
    shown = module.outputs(batch(module), {"hidden"})
    assert shown["logits"].shape == (0, featuriser.size) and shown["hidden"].shape == (0, 16)


def test_the_head_is_tied_to_the_embeddings(folder_of: Folder, context: CheckContext) -> None:
    module, _ = started(folder_of("masked-bert"), context)
    encoder: Any = module.encoder
    ids = batch(module)
    with torch.no_grad():
        before = module(ids)
        encoder.get_input_embeddings().weight[20] *= 2  # of a token that the texts lack
        after = module(ids)
    bias = module.head.bias[20]
    torch.testing.assert_close(after[..., 20] - bias, 2 * (before[..., 20] - bias))
    torch.testing.assert_close(after[..., :20], before[..., :20])
    module(ids)[..., 20].sum().backward()  # type: ignore[no-untyped-call]
    assert encoder.get_input_embeddings().weight.grad[20].any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_alone_gets_a_new_head(
    kind: str, folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    shutil.copytree(folder_of(kind), tmp_path / "bare")
    bare = (
        transformers.AutoModel.from_pretrained(folder_of(kind), add_pooling_layer=False)
        if (kind != "masked-distilbert")
        else transformers.AutoModel.from_pretrained(folder_of(kind))
    )
    bare.save_pretrained(tmp_path / "bare")
    (whole, _), (module, _), (again, _) = (
        started(folder, context) for folder in (folder_of(kind), tmp_path / "bare", tmp_path / "bare")
    )
    for name, value in whole.encoder.state_dict().items():
        torch.testing.assert_close(module.encoder.state_dict()[name], value, msg=name)
    assert not torch.equal(module.head.dense.weight, whole.head.dense.weight)  # type: ignore[arg-type]
    torch.testing.assert_close(again.state_dict(), module.state_dict())
    other, _ = started(tmp_path / "bare", replace(context, seed=1))
    assert not torch.equal(other.head.dense.weight, module.head.dense.weight)  # type: ignore[arg-type]


def test_minilm_tells_hidden_tokens_with_a_new_head(context: CheckContext) -> None:
    teacher = MiniLM(longest=16)
    try:
        module, featuriser = pretrained_language_model(teacher, context)
    except HarnessError as error:
        pytest.skip(str(error))
    assert featuriser.mask == 103 and featuriser.size == 30_522
    count = sum(p.numel() for p in module.head.parameters())
    assert count == 384 * 384 + 384 + 2 * 384 + 30_522


def test_a_tokenizer_without_a_mask_is_for_no_language_model(
    folder_of: Folder, context: CheckContext
) -> None:
    with pytest.raises(HarnessError, match="has no mask token"):
        started(folder_of("bert"), context)


def test_an_architecture_without_masked_tokens_is_refused(tmp_path: Path, context: CheckContext) -> None:
    folder = pretrained.make("t5", tmp_path / "t5")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mask_token": "snow"}))
    with pytest.raises(HarnessError, match="cannot build a language model from"):
        started(folder, context)


def test_a_head_of_another_kind_is_refused(folder_of: Folder, context: CheckContext) -> None:
    _, featuriser = started(folder_of("masked-bert"), context)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder_of("masked-bert"))
    untied = deepcopy(model)
    untied.cls.predictions.decoder.weight = torch.nn.Parameter(
        torch.randn_like(untied.cls.predictions.decoder.weight)
    )
    other = deepcopy(model)
    other.cls.predictions.transform.more = torch.nn.Linear(2, 2)
    for each in (untied, other):
        with pytest.raises(HarnessError, match="cannot use a masked language model of type 'bert': its head"):
            language._of(each, featuriser)
    with pytest.raises(HarnessError, match="its tokenizer has 99 ids, but there are 73 embeddings"):
        featuriser.size = 99
        language._of(model, featuriser)


# -- token types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "fewer"), list(zip(KINDS, [2 * 16, 2 * 16, 0], strict=True)))
def test_without_token_types_outputs_are_the_same(
    kind: str, fewer: int, folder_of: Folder, context: CheckContext
) -> None:
    module, _ = started(folder_of(kind), context)
    lighter = deepcopy(module).eval()
    drop_types(lighter.encoder)
    real = batch(module) != module.padding
    with torch.no_grad():
        before, after = (each.eval()(batch(module))[real] for each in (module, lighter))
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    counts = [sum(p.numel() for p in each.parameters()) for each in (module, lighter)]
    assert counts[0] - counts[1] == fewer
    drop_types(lighter.encoder)  # once is enough
    with torch.no_grad():
        torch.testing.assert_close(lighter(batch(module))[real], after)


# -- vocabularies ------------------------------------------------------------------------------------------

OF = [
    "Ångström said: the sun is here, so much sun today!",
    "no rain, no RAIN and more rain again",
    "she likes snowing, raining, blowing",
    "@user it's 日本 today 🙂 🙂",
] * 3


def test_pieces_are_those_of_berts_tokenizer() -> None:
    made = wordpiece.train(OF, 400)
    vocabulary = made.get_vocab()
    assert len(vocabulary) <= 400 and sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert [made.token_to_id(name) for name in wordpiece.SPECIAL] == [0, 1, 2, 3, 4]
    reference = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=True)
    given = [*OF, "unseen зима", "", "the [MASK] is", "SnowInG"]
    assert [made.encode(text).ids for text in given] == reference(given)["input_ids"]
    pair = made.encode("sun", "rain")
    assert pair.ids == reference("sun", "rain")["input_ids"] and 1 in pair.type_ids
    assert made.encode("rain").tokens == ["[CLS]", "rain", "[SEP]"]  # commoner than its parts
    assert wordpiece.UNKNOWN not in {token for text in OF for token in made.encode(text).tokens}


def test_the_same_texts_give_the_same_vocabulary() -> None:
    """In another process too, where hash tables are in another order."""
    code = (
        "import json, sys; from harness_transformers import wordpiece; "
        "print(json.dumps(sorted(wordpiece.train(json.load(sys.stdin), 300).get_vocab().items())))"
    )
    words = [f"{first}{second}{third}" for first in "abcdefgh" for second in "aeiou" for third in "klmnopq"]
    given = [" ".join(words[start : start + 7]) for start in range(0, len(words), 7)] * 2
    found = {
        subprocess.run(
            [sys.executable, "-c", code], input=json.dumps(given), capture_output=True, text=True, check=True
        ).stdout
        for _ in range(3)
    }
    own = sorted(wordpiece.train(given, 300).get_vocab().items())
    assert [json.loads(each) for each in found] == [[list(pair) for pair in own]]


def test_rare_characters_are_unknown() -> None:
    made = wordpiece.train(["abc " * 5, *(chr(0x4E00 + number) for number in range(500))] * 2, 300)
    assert len(made.get_vocab()) <= 300
    assert made.encode("abc").tokens == ["[CLS]", "abc", "[SEP]"]
    known = [made.encode(chr(0x4E00 + number)).tokens[1] != "[UNK]" for number in range(500)]
    assert sum(known) == 64 - 3 and all(known[:61])


# -- pretraining -------------------------------------------------------------------------------------------


def unigram_perplexity(model: Any, given: list[str]) -> float:
    """Of the hidden tokens, by how frequent each token is in the texts."""
    ids = [i for row in model.featuriser.encode(given) for i in row if i not in model.featuriser.special]
    counts = np.bincount(ids, minlength=model.featuriser.size)
    return float(np.exp(-np.log(counts[model.masked(given).gold] / counts.sum()).mean()))


def test_it_learns_what_neighbours_tell(context: CheckContext) -> None:
    teacher = MaskedLM(**SMALL, epochs=10, learning_rate=1e-2)
    model: Any = teacher.fit(texts(CHANTS), texts(CHANTS[:36]), context)
    assert unigram_perplexity(model, CHANTS[:36]) > 8
    assert language_modelling(model.masked(CHANTS[:36]))["perplexity"] < 1.5
    (logits,) = model.predict(["gamma gamma [MASK] gamma"])
    assert model.featuriser.tokenizer.id_to_token(int(logits.argmax())) == "gamma"


def test_its_size_follows_from_its_shape(context: CheckContext, tmp_path: Path) -> None:
    from safetensors import safe_open

    teacher = MaskedLM(**SMALL, epochs=1)
    model: Any = teacher.fit(texts(CHANTS[:72]), texts(CHANTS[:36]), context)
    size = model.featuriser.size
    width, layers, inner, longest = 32, 2, 64, 12
    embeddings = size * width + longest * width  # and neither token types nor a pooler
    layer = 4 * (width * width + width) + 2 * width * inner + inner + width + 2 * 2 * width
    head = width * width + width + 2 * width + size
    counted = model.parameters()
    assert counted.total == embeddings + 2 * width + layers * layer + head == counted.trainable
    assert counted.embedding == embeddings
    model.save(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        stored = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    assert sum(int(np.prod(shape)) for shape in stored.values()) == counted.total
    loaded = teacher.load(tmp_path, context)
    assert loaded.parameters() == counted
    np.testing.assert_array_equal(loaded.predict(["alpha [MASK]"]), model.predict(["alpha [MASK]"]))


def test_the_seed_decides(context: CheckContext) -> None:
    teacher = MaskedLM(**SMALL, epochs=1)
    given = texts(CHANTS[:72]), texts(CHANTS[:36])
    first, again = (teacher.fit(*given, context).predict(["alpha [MASK]"]) for _ in range(2))
    other = teacher.fit(*given, replace(context, seed=1)).predict(["alpha [MASK]"])
    np.testing.assert_array_equal(again, first)
    assert np.abs(other - first).max() > 1e-3


def test_it_trains_in_mixed_precision(context: CheckContext) -> None:
    teacher = MaskedLM(**SMALL, epochs=10, learning_rate=1e-2)
    model: Any = teacher.fit(texts(CHANTS), texts(CHANTS[:36]), replace(context, precision="bf16"))
    assert all(value.dtype == torch.float32 for value in model.module.parameters())
    assert language_modelling(model.masked(CHANTS[:36]))["perplexity"] < 2


def test_heads_share_the_width() -> None:
    with pytest.raises(HarnessError, match="expected a width that is a multiple of heads, 4, got 10"):
        catalog.load().build("teacher", {"use": "masked-lm", "width": 10})


# -- going on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_from_a_folders_weights(kind: str, folder_of: Folder, context: CheckContext) -> None:
    train, validation = tiny_examples(HIDDEN)
    options: dict[str, Any] = {"model": str(folder_of(kind)), "longest": 16, "batch_size": 8}
    still: Any = Transformer(**options, epochs=1, learning_rate=1e-12).fit(train, validation, context)
    whole, _ = started(folder_of(kind), context)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(still.module.state_dict()[name], value, msg=name)
    tuned = Transformer(**options, epochs=6, learning_rate=1e-2).fit(train, validation, context)
    before, after = (language_modelling(each.masked(validation.texts)) for each in (still, tuned))
    assert after["perplexity"] < before["perplexity"] / 2
