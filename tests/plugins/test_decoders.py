"""Decoders as teachers and students, and tokenizers without a padding token of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import pytest
import torch

from harness.exports.onnx import OnnxModel
from harness.featurise.featuriser import Subwords
from harness.testing.tiny import ODD_TEXTS, CheckContext, tiny_examples
from harness_losses.labels import CrossEntropy
from harness_losses.soft import SoftTargets
from harness_students.static import Static
from harness_students.transformer import TransformerStudent
from harness_transformers.finetuning import Classifier
from harness_transformers.padding import padding_of
from harness_transformers.transformer import Transformer

QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}
BERT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
SHARED = {"num_key_value_heads": 1, "head_dim": 8}  # heads that share keys and values
KINDS: dict[str, dict[str, Any]] = {
    "GPT2": {
        "n_embd": 16,
        "n_layer": 4,
        "n_head": 2,
        "n_positions": 32,
        "scale_attn_by_inverse_layer_idx": True,
    },
    "GPTNeo": {
        "hidden_size": 16,
        "num_layers": 4,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 2]],
        "window_size": 4,
    },
    "GPTNeoX": BERT,
    "OPT": {
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "word_embed_proj_dim": 8,
    },
    "Llama": BERT | SHARED,
    "Mistral": BERT | SHARED | {"sliding_window": 4},
    "Qwen2": BERT | {"num_key_value_heads": 1, "use_sliding_window": True, "max_window_layers": 2},
    "Phi": BERT,
    "Gemma": BERT | SHARED,
    "Bloom": {"hidden_size": 16, "n_layer": 4, "n_head": 2},
    "XLNet": {"d_model": 16, "n_layer": 4, "n_head": 2, "d_inner": 32},
}
TEXTS = [*ODD_TEXTS, "sun", "", "nothing known here", "the rain is here , so much rain !"]


def make(kind: str, folder: Path, padding: str | None = None) -> Path:
    """A model with a tokenizer whose padding is the token `padding`, and mostly none in the configuration."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = ["<unk>", "<end>", "<pad>", *pretrained.WORDS, *pretrained.NEVER]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = {"unk_token": "<unk>", "eos_token": "<end>"} | ({"pad_token": padding} if padding else {})
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    own = 2 if kind == "Roberta" else None  # it counts positions from this id
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(words), pad_token_id=own, bos_token_id=1, eos_token_id=1, **KINDS.get(kind, BERT)
    )
    for name in ("initializer_range", "init_std"):
        if hasattr(config, name):
            setattr(config, name, 0.3)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    return folder


def is_sound(model: Any, load: Any, tmp_path: Path) -> None:
    """A text's answer is the same alone, beside others, loaded, and exported."""
    found = model.predict(TEXTS)
    alone = np.concatenate([model.predict([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, found, rtol=1e-3, atol=1e-4)
    for name in ("saved", "exported"):
        (tmp_path / name).mkdir(parents=True)
    model.save(tmp_path / "saved")
    assert np.array_equal(load(tmp_path / "saved").predict(TEXTS), found)
    model.export(tmp_path / "exported")
    np.testing.assert_allclose(OnnxModel(tmp_path / "exported").predict(TEXTS), found, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_teaches_and_lends_its_layers(kind: str, context: CheckContext, tmp_path: Path) -> None:
    train, validation = tiny_examples()
    teacher = Transformer(model=str(make(kind, tmp_path / "base")), **QUICK)
    fitted: Any = teacher.fit(train, validation, context)
    alone = np.concatenate([fitted.predict([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, fitted.predict(TEXTS), rtol=1e-3, atol=1e-4)
    taught = replace(context, teacher=fitted)
    learnt = replace(train, logits=fitted.predict(train.texts))
    student = TransformerStudent(layers=(4, 2), **QUICK)
    model = student.fit(learnt, validation, SoftTargets(), taught)
    is_sound(model, lambda folder: student.load(folder, context), tmp_path / "student")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kind", ["OPT", "XLNet"])
def test_a_decoder_has_every_pooling(kind: str, pooling: Any, context: CheckContext, tmp_path: Path) -> None:
    start = Transformer(model=str(make(kind, tmp_path / "base")), pooling=pooling, **QUICK)
    train, validation = tiny_examples()
    for weights in ("pretrained", "random"):
        student = TransformerStudent(start=start, layers=2, weights=weights, **QUICK)  # type: ignore[arg-type]
        model = student.fit(train, validation, CrossEntropy(), context)
        is_sound(model, lambda folder, own=student: own.load(folder, context), tmp_path / weights)


@pytest.mark.parametrize("padding", [None, "<unk>", "<end>"])
@pytest.mark.parametrize("kind", ["GPT2", "Roberta", "Bert"])
def test_a_padding_token_that_means_something_masks_nothing(
    kind: str, padding: str | None, context: CheckContext, tmp_path: Path
) -> None:
    teacher = Transformer(model=str(make(kind, tmp_path / "base", padding)), pooling="mean", **QUICK)
    model: Any = teacher.fit(*tiny_examples(), context)
    reads = model.featuriser
    unknown = reads.tokenizer.token_to_id("<unk>")
    assert reads.padding == reads.size - 1 == reads.tokenizer.get_vocab_size()
    assert reads.encode(["sun zzz rain"])[0][1] == unknown != reads.padding
    with_unknown, without = model.predict(["sun zzz rain", "sun rain"])
    assert np.abs(with_unknown - without).max() > 1e-3
    is_sound(model, lambda folder: teacher.load(folder, context), tmp_path / "own")


def test_a_padding_token_of_its_own_stays(context: CheckContext, tmp_path: Path) -> None:
    model: Any = Transformer(model=str(make("GPT2", tmp_path, "<pad>")), **QUICK).fit(
        *tiny_examples(), context
    )
    assert model.featuriser.padding == 2 and model.module.filler is None


def test_a_tokenizer_that_pads_by_itself_has_padding(tmp_path: Path) -> None:
    """As MiniLM's, whose file asks for padding to a fixed length."""
    import transformers

    fast = transformers.AutoTokenizer.from_pretrained(make("GPT2", tmp_path, "<pad>"))
    fast.backend_tokenizer.enable_padding(pad_id=2, pad_token="<pad>", length=9)
    assert padding_of(fast, None) == 2


def test_padding_beyond_the_embeddings_needs_none(context: CheckContext, tmp_path: Path) -> None:
    """As in models whose user added a padding token without enlarging the model."""
    folder = make("Llama", tmp_path, "<added>")
    model: Any = Transformer(model=str(folder), **QUICK).fit(*tiny_examples(), context)
    assert model.featuriser.padding == model.module.encoder.get_input_embeddings().num_embeddings
    assert model.module.filler == 0


def test_a_state_says_where_padding_was_masked_before(tmp_path: Path) -> None:
    """A model that was saved when its padding was the unknown token keeps its rule."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(make("GPT2", tmp_path, "<unk>"))
    before = {"tokenizer": tokenizer.backend_tokenizer.to_str(), "longest": 8, "padding": 0}
    reads = Subwords.restore(before)
    assert (reads.padding, reads.size, reads.characters) == (0, len(tokenizer), None)


def test_embeddings_can_be_taken_from_a_decoder(context: CheckContext, tmp_path: Path) -> None:
    start = Transformer(model=str(make("GPT2", tmp_path / "base")))
    for of in ("encoder", "embeddings"):
        student = Static(embeddings=start, of=of, width=4, epochs=1, min_examples=0)  # type: ignore[arg-type]
        model: Any = student.fit(*tiny_examples(), CrossEntropy(), context)
        table = model.module.embedding.weight
        assert len(table) == model.featuriser.size and not table[model.featuriser.padding].any()
        is_sound(model, lambda folder, own=student: own.load(folder, context), tmp_path / of)


def test_layers_are_numbered_again(context: CheckContext, tmp_path: Path) -> None:
    start = Transformer(model=str(make("GPTNeo", tmp_path)), **QUICK)
    student = TransformerStudent(start=start, layers=(2, 3, 4), **QUICK)
    model: Any = student.fit(*tiny_examples(), CrossEntropy(), context)
    assert isinstance(model.module, Classifier)
    encoder: Any = model.module.encoder
    assert [layer.attn.attention.layer_id for layer in encoder.base_model.h] == [0, 1, 2]
    assert encoder.config.attention_layers == ["local", "global", "local"]
