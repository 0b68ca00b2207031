"""Back-translation by tiny sequence-to-sequence models with random weights: gibberish, by the real path."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import translators

import harness
from harness.api import PAIR_SEPARATOR, Examples
from harness.testing.checks import check_augmenter
from harness.testing.tiny import CheckContext
from harness_augmenters import translate
from harness_augmenters.blocks import Transform
from harness_augmenters.combine import Chain, Mix
from harness_augmenters.translate import BackTranslate
from harness_augmenters.words import Mask
from harness_transformers.transformer import Transformer

TEXTS = [
    "the sun is here",
    "",
    "rain rain and more rain today",
    "i like snow",
    " \n",
    "wind , she said again and again in may",
    "no sun",
] * 3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BackTranslate:
    """Two models of different weights, with texts of at most 12 subwords; not to be changed."""
    root = tmp_path_factory.mktemp("translators")
    forth, back = (translators.make(root / str(seed), seed) for seed in (0, 1))
    return BackTranslate(forth=str(forth), back=str(back), longest=12)


def made(augmenter: harness.Augmenter, texts: list[str] = TEXTS, seed: int = 0) -> list[tuple[int, str]]:
    augmenter.check()
    return list(augmenter(texts, np.random.default_rng(seed)))


def test_conformance(tiny: BackTranslate) -> None:
    check_augmenter(tiny)


def test_texts_come_back_as_others_of_their_rows(tiny: BackTranslate) -> None:
    found = made(replace(tiny, copies=2))
    full = [row for row, text in enumerate(TEXTS) if text.strip()]
    assert {row for row, _ in found} <= set(full)
    assert len(found) > 1.5 * len(full)
    for row, text in found:
        assert text == " ".join(text.split()) != ""
        assert text.lower() != TEXTS[row].lower()
        assert "<s>" not in text and "<pad>" not in text
    assert len({text for _, text in found}) > len(full)


def test_the_generator_decides_and_torchs_stays(tiny: BackTranslate) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = made(tiny)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert made(tiny) == first
    assert made(tiny, seed=1) != first


def test_without_sampling_it_is_what_the_models_find_likeliest(tiny: BackTranslate) -> None:
    """The reference is the models' own greedy search, one text at a time."""
    import transformers

    def by_hand(folder: str, text: str) -> str:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
        ids = torch.tensor([tokenizer(text)["input_ids"]])  # (1, L)
        out = model.generate(input_ids=ids, max_length=12, do_sample=False, num_beams=1)
        return str(tokenizer.decode(out[0], skip_special_tokens=True))

    greedy = replace(tiny, temperature=0.0, batch_size=2)
    expected = {}
    for row, text in enumerate(TEXTS[:7]):
        if text.strip():
            expected[row] = by_hand(tiny.back, by_hand(tiny.forth, text))
    assert dict(made(greedy, TEXTS[:7])) == {row: text for row, text in expected.items() if text}
    assert made(greedy, seed=1) == made(greedy)
    assert made(replace(greedy, beams=3))


def test_what_comes_back_as_it_was_is_left_out(tiny: BackTranslate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate._Translator, "__call__", lambda self, texts: [t.upper() for t in texts])
    assert made(tiny) == []


def test_order_does_not_follow_the_batches(tiny: BackTranslate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are of like lengths, yet each row gets the translation of its own text."""
    greedy = replace(tiny, temperature=0.0)
    alone = [made(greedy, [text]) for text in TEXTS[:7]]
    expected = [(row, text) for row, new in enumerate(alone) for _, text in new]
    for size in (1, 3, 32):
        assert made(replace(greedy, batch_size=size), TEXTS[:7]) == expected


def test_the_texts_of_a_pair_are_translated_one_by_one(tiny: BackTranslate) -> None:
    greedy = replace(tiny, temperature=0.0)
    single = dict(made(greedy, ["the sun is here", "no rain", "i like snow"]))
    assert len(single) == 3
    pair = PAIR_SEPARATOR.join(["the sun is here", "no rain"])
    half = f"i like snow{PAIR_SEPARATOR} "
    found = dict(made(greedy, [pair, "", half]))
    assert found == {0: f"{single[0]}{PAIR_SEPARATOR}{single[1]}", 2: f"{single[2]}{PAIR_SEPARATOR}"}


def test_the_folders_are_its_base(tiny: BackTranslate) -> None:
    forth, back = tiny.base().split("\n")
    assert forth != back
    assert replace(tiny, forth=tiny.back, back=tiny.forth).base() == f"{back}\n{forth}"
    assert tiny.base() in Chain((Mask(), tiny)).base()


def test_models_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(harness.Unavailable, match="model 'nobody/nothing': not in the hub's cache"):
        BackTranslate(forth="nobody/nothing", back="nobody/nothing").base()
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(
        harness.Unavailable, match="needs the package sentencepiece for its models; install it: pip"
    ):
        BackTranslate().base()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(harness.HarnessError, match=r"cannot load the weights in .*: model.safetensors is"):
        made(BackTranslate(forth=str(tmp_path), back=str(tmp_path)))


def test_the_default_models_are_those_of_the_languages() -> None:
    names = [weights.model for weights in BackTranslate(language="nl", pivot="fr")._weights()]
    assert names == ["Helsinki-NLP/opus-mt-nl-fr", "Helsinki-NLP/opus-mt-fr-nl"]


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (BackTranslate(copies=2, temperature=0.0), "all copies of a text are the same"),
        (BackTranslate(pivot="en"), "language and pivot are both 'en'"),
    ],
)
def test_what_cannot_be(augmenter: BackTranslate, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augmenter.check()


def test_combinations_hand_on_the_device(
    tiny: BackTranslate, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []
    real = BackTranslate.prepare_on

    def noted(self: BackTranslate, corpus: list[str], device: str) -> Transform:
        devices.append(device)
        return real(self, corpus, "cpu")

    monkeypatch.setattr(BackTranslate, "prepare_on", noted)
    train = Examples(TEXTS, ("a", "b"))
    for each in (tiny, Chain((tiny, Mask())), Mix((Chain((tiny,)), Mask()), copies=1)):
        assert each.accelerated
        assert list(each.draw(train, (), replace(context, device="cuda:0")))
    assert devices == ["cuda:0"] * 3
    assert not Mix((Mask(),), copies=1).accelerated


def test_models_are_loaded_once(tiny: BackTranslate, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    real = translate._Translator.__init__

    def noted(self: translate._Translator, how: BackTranslate, weights: Transformer, device: str) -> None:
        loaded.append(weights.model)
        real(self, how, weights, device)

    monkeypatch.setattr(translate._Translator, "__init__", noted)
    assert len(made(Mix((tiny, Mask()), (3, 1), size=60))) == 60
    assert loaded == [tiny.forth, tiny.back]
    assert made(tiny, ["", " "]) == [] and len(loaded) == 2
