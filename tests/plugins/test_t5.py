"""T5 as a classifier: its scores of labels against transformers' own losses, and what it refuses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import HarnessError
from harness.api import PAIR_SEPARATOR, Examples
from harness.task_types.regression import Regression
from harness.testing.tiny import CheckContext, tiny_examples
from harness_teachers.t5 import T5

Folder = Callable[[str], Path]
TEXTS = ["the sun is here", "no rain , she said", f"so much wind{PAIR_SEPARATOR}snow"]


def teacher(folder: Path, **options: Any) -> T5:
    return T5(model=str(folder), **{"epochs": 1, "batch_size": 8, "dropout": 0.0, "longest": 16, **options})


def test_a_logit_is_the_log_probability_of_the_labels_text(folder_of: Folder, context: CheckContext) -> None:
    from transformers import AutoTokenizer

    folder = folder_of("t5")
    model: Any = teacher(folder).fit(*tiny_examples(), context)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    logits = model.predict(TEXTS)
    own = model.module.encoder
    for row, text in enumerate(TEXTS):
        given = tokenizer(*text.split(PAIR_SEPARATOR), return_tensors="pt", return_token_type_ids=False)
        for column, name in enumerate(model.classes):
            label = tokenizer(name, return_tensors="pt").input_ids
            with torch.no_grad():
                loss = own(**given, labels=label).loss  # the mean over the label's tokens
            assert logits[row, column] == pytest.approx(-float(loss) * label.shape[1], abs=1e-4)
    assert (logits < 0).all()


def test_labels_may_be_of_different_lengths(folder_of: Folder, context: CheckContext) -> None:
    labels = np.array([0, 1, 0])
    examples = Examples(TEXTS, ("not the sun", "snow"), labels)
    model: Any = teacher(folder_of("t5")).fit(examples, examples, context)
    assert model.module.lengths == [4, 2]
    assert model.predict(TEXTS).shape == (3, 2)


def test_the_encoder_is_read_at_its_mean(folder_of: Folder, context: CheckContext) -> None:
    model: Any = teacher(folder_of("t5"), by="encoder").fit(*tiny_examples(Regression()), context)
    ids = torch.tensor(model.featuriser.encode(TEXTS[:1]))
    with torch.no_grad():
        states = model.module.encoder(input_ids=ids).last_hidden_state[0]
        expected = model.module.output(states.mean(0))
    assert model.predict(TEXTS[:1])[0] == pytest.approx(expected.numpy(), abs=1e-5)
    assert not any("decoder" in name for name in model.module.state_dict())


@pytest.mark.parametrize("by", ["label-tokens", "encoder"])
def test_it_learns(by: Any, folder_of: Folder, context: CheckContext) -> None:
    train, validation = tiny_examples()
    model = teacher(folder_of("t5"), by=by, epochs=40, learning_rate=5e-3).fit(train, validation, context)
    assert (model.predict(validation.texts).argmax(1) == validation.labels).mean() > 0.9


def test_what_stands_before_texts(folder_of: Folder, context: CheckContext, tmp_path: Path) -> None:
    folder = folder_of("t5")
    model: Any = teacher(folder, prefix="no ", second="and ").fit(*tiny_examples(), context)
    plain: Any = teacher(folder).fit(*tiny_examples(), context)
    written = ["no the sun is here", "no no rain , she said", "no so much wind and snow"]
    assert model.featuriser.encode(TEXTS) == plain.featuriser.encode(written)
    # Without it, a pair is the tokenizer's own: each text ends.
    assert plain.featuriser.encode(TEXTS[2:])[0].count(1) == 2
    model.save(tmp_path)
    loaded: Any = teacher(folder, prefix="no ", second="and ").load(tmp_path, context)
    assert loaded.featuriser.encode(TEXTS) == model.featuriser.encode(TEXTS)
    assert np.array_equal(loaded.predict(TEXTS), model.predict(TEXTS))


def test_a_unigram_tokenizer_as_t5_has_it(folder_of: Folder, context: CheckContext, tmp_path: Path) -> None:
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    folder = tmp_path / "unigram"
    shutil.copytree(folder_of("t5"), folder)
    letters = [("▁", -2.0), *((letter, -4.0) for letter in "abcdefghijklmnopqrstuvwxyz'")]
    pieces = [("▁sun", -1.0), ("▁the", -1.0), ("▁it's", -1.5)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters, *pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "$A </s>", "$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    model: Any = teacher(folder).fit(*tiny_examples(), context)
    sun = len(letters) + 3
    assert model.featuriser.encode(["the sun"]) == [[sun + 1, sun, 1]]
    assert model.featuriser.label("it's sun") == [sun + 2, sun, 1]


def test_what_is_no_t5(folder_of: Folder, context: CheckContext) -> None:
    with pytest.raises(
        HarnessError, match=r"of type t5 or mt5, got .* of type bert; use teacher 'transformer'"
    ):
        teacher(folder_of("bert")).fit(*tiny_examples(), context)


def test_labels_that_no_token_tells_apart(folder_of: Folder, context: CheckContext) -> None:
    examples = Examples(TEXTS, ("joy", "anger"), np.array([0, 1, 0]))
    with pytest.raises(HarnessError, match="cannot distinguish the labels 'joy' and 'anger'"):
        teacher(folder_of("t5")).fit(examples, examples, context)


def test_weights_that_are_not_there(folder_of: Folder, context: CheckContext, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(folder_of("t5"), folder)
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(re.sub(r'"num_(decoder_)?layers": 2', r'"num_\1layers": 3', config))
    with pytest.raises(HarnessError, match="cannot load the weights in"):
        teacher(folder).fit(*tiny_examples(), context)


def test_only_the_encoder_scores() -> None:
    assert T5(model="x").task_types == {"classification"}
    assert T5(model="x", by="encoder").task_types == {"classification", "regression"}
