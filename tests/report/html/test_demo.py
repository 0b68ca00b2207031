"""A page that runs an exported model in a browser: the ids and answers are those of ``harness predict``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from opening import Browser
from shipped import make, ship
from text_samples import TEXTS, WORDS
from torch import Tensor, nn

from harness import HarnessError
from harness.cli import main
from harness.exports.onnx import export_module
from harness.exports.quantise import quantise
from harness.featurise.featuriser import Featuriser, Subwords, Words, WordSubwords
from harness.report.html import demo
from harness.steps.export import _describe
from harness.task_types.base import TaskType
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext
from harness_multilabel.task_type import MultiLabel
from harness_students.ngrams import HashedNgrams
from harness_transformers import wordpiece
from harness_transformers.transformer import Transformer

LABELS = ("calm", "<b>loud</b>", "wet", "dry")
BEST = "document.getElementById('best').textContent"
LEARNED = ["the sun and the rain", "it's a cold wind, don't go", "sunny days in may", "i like it"] * 4


class EachWord(nn.Module):
    """Random outputs for each id, marked or not."""

    def __init__(self, size: int, classes: int, padding: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.size = size
        self.embedding = nn.Embedding(size, classes)

    def forward(self, ids: Tensor) -> Tensor:
        return 3 * self.embedding(torch.where(ids >= self.size, ids - self.size, ids))


class Mean(nn.Module):
    """A mean of random embeddings, so that different texts get different labels."""

    def __init__(self, size: int, classes: int, padding: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.padding = padding
        self.embedding = nn.Embedding(size, 8)
        self.output = nn.Linear(8, classes)

    def forward(self, ids: Tensor) -> Tensor:
        known = (ids != self.padding).unsqueeze(-1)
        mean = (self.embedding(ids) * known).sum(1) / known.sum(1).clamp(min=1)
        return self.output(3 * mean)  # type: ignore[no-any-return]


def exported(folder: Path, featuriser: Featuriser, task_type: TaskType, labels: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    kind = EachWord if featuriser.marks else Mean
    export_module(kind(featuriser.size, len(labels), featuriser.padding), featuriser, labels, folder)
    _describe(folder, task_type)
    return folder


def words() -> Words:
    return Words(WORDS, 16)


def wordpieces(longest: int = 12) -> Subwords:
    return Subwords(wordpiece.train(LEARNED, 96), longest, 0)


def unigrams(longest: int = 12) -> Subwords:
    """A tokenizer as XLM-R's: pieces with probabilities, a mark for spaces, and two separators in a pair."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = ["▁the", "▁sun", "▁rain", "▁", "su", "n", "r", "a", "in", "y", "t", "he", "▁a", "b", "अ", "।"]
    vocabulary = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary += [(piece, -2.0 - number / 7) for number, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> </s> $B:1 </s>:1", special_tokens=ends
    )
    return Subwords(tokenizer, longest, 1)


@pytest.fixture(scope="session")
def code() -> dict[str, bytes]:
    """The JavaScript libraries, of the cache or of the registry."""
    try:
        return demo.libraries()
    except HarnessError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def packed_once() -> Iterator[None]:
    """The libraries, of which each page has a copy, are compressed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_packed", cache(demo._packed))
        yield


@pytest.fixture
def opened(tmp_path: Path, code: dict[str, bytes], browser: Browser) -> Callable[..., Any]:
    """A function that exports a model, and opens its page."""

    def open_page(
        featuriser: Featuriser,
        task_type: TaskType | None = None,
        labels: Sequence[str] = LABELS,
        examples: Sequence[str] = (),
        form: str | None = None,
        **options: Any,
    ) -> Any:
        folder = exported(tmp_path / "model", featuriser, task_type or Classification(), labels)
        if form == "onnx-int8":
            quantise(folder)
        size = demo.write(folder, make("aa"), code, examples, form)
        assert size == (folder / demo.FILE).stat().st_size
        return browser.open(folder / demo.FILE, **options)

    return open_page


def predicted(folder: Path, texts: Sequence[str], *options: str) -> list[dict[str, Any]]:
    given = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    done = CliRunner().invoke(main, ["predict", str(folder), "--text", "text", *options], input=given)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def asked(page: Any, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the model of a page answers."""
    return page.evaluate(  # type: ignore[no-any-return]
        """async texts => {
            const found = [];
            for (const text of texts) found.push(await demo.answer(text));
            return found;
        }""",
        list(texts),
    )


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_answers_are_those_of_predict(form: str, opened: Callable[..., Any], tmp_path: Path) -> None:
    page = opened(words(), examples=["The SUN, the rain!", "<script>alert(1)</script>"], form=form)
    texts = [text for text in TEXTS if text.strip()]
    expected = predicted(tmp_path / "model", texts, *(["--int8"] if form == "onnx-int8" else []))
    found = asked(page, texts)
    assert [one["best"] for one in found] == [one["label"] for one in expected]
    scores = [one["rows"][0]["score"] for one in found]
    assert np.allclose(scores, [one["score"] for one in expected], atol=1e-5)
    assert len({one["best"] for one in found}) > 1
    # As a reader does it: the examples, then a text of one's own.
    assert page.input_value("#text") == "The SUN, the rain!"
    for number, text in enumerate(("<script>alert(1)</script>", "rain, rain 😀")):
        if number:
            page.fill("#text", text)
        else:
            page.click(".examples button >> nth=1")
        (label,) = predicted(tmp_path / "model", [text], *(["--int8"] if form == "onnx-int8" else []))
        page.wait_for_function(f"label => {BEST} === label", arg=label["label"])
        assert page.text_content("#bars .chosen .label") == label["label"]
        assert page.text_content("#bars .chosen .value") == f"{100 * label['score']:.1f} %"
    assert page.locator("#bars li").count() == len(LABELS)
    assert " ms for this text of " in page.text_content("#time")
    page.fill("#text", " ")
    page.wait_for_function(f"{BEST} === ''")
    assert page.locator("#bars li").count() == 0


# The library does not put spaces around Chinese characters beyond U+FFFF, as BERT's tokenizer does.
@pytest.mark.parametrize(
    ("kind", "others"), [(wordpieces, ["\U0001d400\U00020000"]), (unigrams, []), (words, [])]
)
def test_texts_have_the_ids_of_python(
    kind: Callable[[], Featuriser], others: list[str], opened: Callable[..., Any]
) -> None:
    featuriser = kind()
    page = opened(featuriser)
    texts = [
        *TEXTS,
        *("the sun [SEP] the rain", "the sun [SEP] ", " [SEP] rain", "a [MASK] sun <mask>", "the sun " * 30),
        *("sun " * 30 + "[SEP] rain", "sun [SEP] " + "the rain " * 30),
        *("sun " * 30 + "[SEP] " + "a rain " * 30, "sun rain sun [SEP] " + "sun " * 7),
    ]
    found = page.evaluate("texts => texts.map(demo.idsOf)", texts)
    expected = featuriser.encode(texts)
    assert [text for text, a, b in zip(texts, found, expected, strict=True) if a != b] == others


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_a_transformer_gives_the_labels_of_predict(
    form: str, code: dict[str, bytes], browser: Browser, tmp_path: Path
) -> None:
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    train, validation = Classification().tiny()
    tokenizer = wordpiece.train([*train.texts, *LEARNED], 96)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = dict(zip(names, wordpiece.SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(tmp_path / "bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), initializer_range=0.3, **sizes)
    BertModel(config).save_pretrained(tmp_path / "bert")
    teacher = Transformer(model=str(tmp_path / "bert"), longest=16, epochs=1)
    folder = ship(teacher.fit(train, validation, CheckContext(tmp_path)), tmp_path, Classification())
    demo.write(folder, make("aa", "teacher"), code, form=form)
    page = browser.open(folder / demo.FILE)
    texts = [
        *validation.texts,
        "the rain is cold, don't go",
        "sunny days " * 20,
        "中文",
        "so much wind today !",
    ]
    expected = predicted(folder, texts, *(["--int8"] if form == "onnx-int8" else []))
    found = asked(page, texts)
    assert [one["best"] for one in found] == [one["label"] for one in expected]
    scores = [one["rows"][0]["score"] for one in found]
    assert np.allclose(scores, [one["score"] for one in expected], atol=1e-2 if "int8" in form else 1e-5)
    assert len({one["best"] for one in found}) > 1


def test_a_page_is_read_on_a_phone(opened: Callable[..., Any]) -> None:
    labels = [f"a label with a long name, number {number}" for number in range(30)]
    page = opened(words(), labels=labels, examples=["sun " * 60], width=360, height=640)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#bars li").count() == 10
    page.click("#more")
    page.wait_for_function("document.querySelectorAll('#bars li').length === 30")
    facts = page.text_content(".facts")
    assert "Distilled from" in facts and "large" in facts and "On 1,234 test texts" in facts


def test_several_labels_need_their_thresholds(opened: Callable[..., Any], tmp_path: Path) -> None:
    task_type = MultiLabel(chosen=(0.3, 0.5, 0.6, 0.99))
    page = opened(words(), task_type)
    texts = ["sun", "rain", "it's", "привет", "e é", "σ", "中 文", "half ½"]
    expected = [", ".join(one["labels"]) or "no label" for one in predicted(tmp_path / "model", texts)]
    assert [one["best"] for one in asked(page, texts)] == expected
    assert len(set(expected)) > 2


def test_a_score_is_a_number(opened: Callable[..., Any], tmp_path: Path) -> None:
    page = opened(words(), Regression(), labels=("score",))
    (expected,) = predicted(tmp_path / "model", ["sun rain"])
    (found,) = asked(page, ["sun rain"])
    assert float(found["best"]) == pytest.approx(expected["score"], rel=1e-3)
    assert found["rows"] == []


@pytest.mark.parametrize("kind", [wordpieces, unigrams])
def test_entities_are_marked(
    kind: Callable[..., Subwords], opened: Callable[..., Any], tmp_path: Path
) -> None:
    plain = kind()
    featuriser = WordSubwords(plain.tokenizer, 24, plain.padding)
    labels = ("O", "B-sky", "I-sky", "B-<i>", "I-<i>")
    texts = [
        "the sun and the rain",
        "sunny days \ufe0f in may",
        "x" * 300 + " sun",
        "the sun " * 30,
        "",
        "é 中文\x1csun",
    ]
    page = opened(featuriser, Tagging(), labels, examples=texts[:1])
    assert page.evaluate("texts => texts.map(demo.idsOf)", texts[:-2]) == featuriser.encode(
        [" ".join(text.split()) for text in texts[:-2]]
    )
    found, expected = asked(page, texts), predicted(tmp_path / "model", texts)
    for one, other in zip(found, expected, strict=True):
        assert one["words"] == other["words"] and one["tags"] == other["tags"]
        spans = [(span["start"], span["end"], span["kind"]) for span in one["spans"]]
        assert spans == [(each["start"], each["end"], each["type"]) for each in other["entities"]]
        scores = [each["score"] for each in other["entities"]]
        assert np.allclose([span["score"] for span in one["spans"]], scores, atol=1e-5)
    both = zip(texts, expected, strict=True)
    text, entities = next((text, one["entities"]) for text, one in both if one["entities"])
    page.fill("#text", text)
    drawn = "count => document.querySelectorAll('#best mark').length === count"
    page.wait_for_function(drawn, arg=len(entities))
    assert page.text_content("#best mark >> nth=0") == f"{entities[0]['text']} {entities[0]['type']}"


def test_a_page_that_cannot_be_is_refused(tmp_path: Path, code: dict[str, bytes]) -> None:
    record = make("aa")
    folder = exported(tmp_path / "words", words(), Classification(), LABELS)
    with pytest.raises(HarnessError, match="the form 'numpy' runs in Python only; a browser runs onnx"):
        demo.write(folder, record, code, form="numpy")
    with pytest.raises(HarnessError, match="has no form 'onnx-int8'"):
        demo.write(folder, record, code, form="onnx-int8")
    hashed = exported(tmp_path / "hashed", HashedNgrams(50, 1, 3, 5, 16), Classification(), LABELS)
    with pytest.raises(HarnessError, match=r"only Python can turn texts into the ids .* no tokenizer.json"):
        demo.write(hashed, record, code)
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(HarnessError, match=r"model\.onnx"):
        demo.write(folder, record, code)
    assert not list(tmp_path.glob("*/demo.html"))
