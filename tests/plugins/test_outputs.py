"""Inner states that models show: what each is, against what can be computed from the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from harness import HarnessError
from harness.testing.tiny import CheckContext, tiny_examples
from harness_students.convolutional import Cnn
from harness_students.fasttext import FastText
from harness_students.recurrent import BiGru, Lstm
from harness_students.words import Mlp
from harness_transformers.finetuning import Classifier
from harness_transformers.labelled import LabelledClassifier

BERT = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
OPTIONS: dict[str, dict[str, Any]] = {
    "Bert": BERT,
    "Roberta": BERT,
    "Electra": BERT | {"embedding_size": 16},
    "MPNet": BERT,
    "DebertaV2": BERT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "share_att_key": True},
    "DistilBert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
}
NAMES = frozenset({"hidden", "layers", "attention", "relations"})
IDS = torch.tensor([[2, 5, 7, 9, 11, 3], [2, 6, 8, 3, 1, 1]])  # padded with 1
REAL = IDS != 1
kinds = pytest.mark.parametrize("kind", OPTIONS)
poolings = pytest.mark.parametrize("pooling", ["head", "mean", "cls"])


def classifier(kind: str, pooling: Any = "head", dropout: float = 0.1, **options: Any) -> Classifier:
    torch.manual_seed(0)
    rate = {} if kind == "DistilBert" else {"hidden_dropout_prob": dropout}
    rate |= {"dropout": dropout, "seq_classif_dropout": dropout} if kind == "DistilBert" else {}
    rate |= {"attention_dropout" if kind == "DistilBert" else "attention_probs_dropout_prob": dropout}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=40, pad_token_id=1, initializer_range=0.3, num_labels=3, **OPTIONS[kind], **rate, **options
    )
    name = f"{kind}ForSequenceClassification" if pooling == "head" else f"{kind}Model"
    return Classifier(getattr(transformers, name)(config), pooling, 1, 3, dropout).eval()


def last_linear(module: Classifier) -> nn.Linear:
    if module.output is not None:
        return module.output
    encoder: Any = module.encoder
    head = encoder.classifier
    return head if isinstance(head, nn.Linear) else head.out_proj


@kinds
@poolings
def test_the_last_linear_layer_sees_the_hidden_state(kind: str, pooling: Any) -> None:
    module = classifier(kind, pooling)
    found = module.outputs(IDS, {"hidden"})
    assert found.keys() == {"logits", "hidden"} and found["hidden"].shape == (2, 16)
    torch.testing.assert_close(last_linear(module)(found["hidden"]), found["logits"])
    assert torch.equal(found["logits"], module(IDS))


@kinds
def test_hidden_states_come_before_dropout(kind: str) -> None:
    module = classifier(kind, dropout=0.0)
    encoder: Any = module.encoder
    below = set(encoder.base_model.modules())
    for layer in encoder.modules():
        if isinstance(layer, nn.Dropout) and layer not in below:
            layer.p = 0.5
    plain = module.outputs(IDS, {"hidden"})
    module.train()
    torch.manual_seed(0)
    trained = module.outputs(IDS, {"hidden"})
    assert not torch.allclose(trained["logits"], plain["logits"])
    if kind in ("Bert", "DistilBert"):  # the others' heads have dropout earlier on, too
        torch.testing.assert_close(trained["hidden"], plain["hidden"])
    else:
        assert (trained["hidden"] != 0).all()


@kinds
@poolings
def test_layers_are_the_encoders_hidden_states(kind: str, pooling: Any) -> None:
    module = classifier(kind, pooling)
    found = module.outputs(IDS, {"layers"})
    encoder: Any = module.encoder.base_model
    with torch.no_grad():
        expected = encoder(input_ids=IDS, attention_mask=REAL.long(), output_hidden_states=True)
    assert len(found["layers"]) == 4
    for layer, state in zip(found["layers"], expected.hidden_states, strict=True):
        assert torch.equal(layer, state)
    assert torch.equal(found["layers"][-1], expected.last_hidden_state)


@kinds
def test_attention_is_a_distribution_over_tokens_that_are_no_padding(kind: str) -> None:
    found = classifier(kind).outputs(IDS, {"attention"})["attention"]
    assert len(found) == 3 and found[0].shape == (2, 2, 6, 6)
    for maps in found:
        torch.testing.assert_close(maps[1, :, :4].sum(-1), torch.ones(2, 4))
        assert maps[1, :, :4, 4:].abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "Electra", "DistilBert"])
def test_attention_follows_from_the_queries_and_keys(kind: str) -> None:
    found = classifier(kind, "mean").outputs(IDS, NAMES)
    query, key, _ = (each.view(2, 6, 2, 8).transpose(1, 2) for each in found["relations"])
    scores = query @ key.transpose(2, 3) / np.sqrt(8)
    scores = scores.masked_fill(~REAL[:, None, None], -torch.inf)
    torch.testing.assert_close(found["attention"][-1], scores.softmax(-1))


@kinds
def test_relations_are_of_the_last_layers_tokens(kind: str) -> None:
    module = classifier(kind)
    found = module.outputs(IDS, {"relations", "layers"})
    before = found["layers"][-2]
    named = dict(module.encoder.named_modules())
    ends = [("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("attn.q", "attn.k", "attn.v")]
    ends.append(("query_proj", "key_proj", "value_proj"))
    layers = [
        [layer for name, layer in named.items() if ".2." in name and name.endswith(f".{end}")]
        for names in ends
        for end in names
    ]
    linear = [found[0] for found in layers if found]
    assert len(linear) == 3
    for layer, state in zip(linear, found["relations"], strict=True):
        torch.testing.assert_close(state, layer(before))


@kinds
def test_attention_is_watched_before_its_dropout(kind: str) -> None:
    module = classifier(kind, dropout=0.5).train()
    for maps in module.outputs(IDS, {"attention"})["attention"]:
        torch.testing.assert_close(maps[0].sum(-1), torch.ones(2, 6))
    assert all(layer.training for layer in module.modules())


def test_other_attention_gives_way_to_the_one_that_keeps_probabilities() -> None:
    module = classifier("Bert", attn_implementation="sdpa")
    assert module.outputs(IDS, {"attention"})["attention"][0].shape == (2, 2, 6, 6)


@kinds
def test_nothing_is_watched_afterwards(kind: str) -> None:
    module = classifier(kind)
    before = module(IDS)
    module.outputs(IDS, NAMES)
    assert torch.equal(module(IDS), before)
    for layer in module.modules():
        assert not any("harness" in hook.__module__ for hook in layer._forward_hooks.values())
        assert not layer._forward_pre_hooks


@kinds
def test_gradients_reach_the_first_layer_from_every_state(kind: str) -> None:
    module = classifier(kind).train()
    found = module.outputs(IDS, NAMES)
    words = module.encoder.get_input_embeddings().weight  # type: ignore[operator]
    for name in NAMES:
        states = found[name] if isinstance(found[name], tuple) else (found[name],)
        (gradient,) = torch.autograd.grad(states[-1].square().sum(), words, retain_graph=True)
        assert gradient.any() and gradient.isfinite().all()


def test_a_labelled_head_gives_the_tasks_order_with_its_states() -> None:
    plain = classifier("Bert")
    module = LabelledClassifier(plain.encoder, 1, [2, 0, 1], None).eval()
    found = module.outputs(IDS, {"hidden"})
    assert torch.equal(found["logits"], plain(IDS)[:, [2, 0, 1]])
    assert torch.equal(module(IDS), found["logits"])


def test_an_unknown_architecture_is_told() -> None:
    config = transformers.FNetConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, intermediate_size=32)

    class Encoder(transformers.FNetModel):  # type: ignore[misc]
        def forward(self, input_ids: Tensor, attention_mask: Tensor, **options: Any) -> Any:
            options.pop("output_attentions", None)
            return super().forward(input_ids=input_ids, **options)

    module = Classifier(Encoder(config), "mean", 1, 3, 0.0).train()
    for name in ("relations", "attention"):
        with pytest.raises(HarnessError, match="cannot find queries, keys and values in a model of type 'f"):
            module.outputs(IDS, {name})
    assert not any(layer._forward_hooks for layer in module.modules())
    module.eval()
    with pytest.raises(HarnessError, match="cannot read the attention of a model of type 'fnet'"):
        module.outputs(IDS, {"attention"})
    assert len(module.outputs(IDS, {"layers"})["layers"]) == 3


# -- our small students -------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"epochs": 1, "min_examples": 0, "dropout": 0.5}


@pytest.mark.parametrize(
    "student",
    [
        Mlp(**SMALL),
        Mlp(hidden=5, **SMALL),
        Cnn(**SMALL),
        Lstm(**SMALL),
        BiGru(feedforward=5, **SMALL),
        FastText(buckets=100, **SMALL),
    ],
    ids=repr,
)
def test_small_students_show_what_their_last_layer_sees(student: Any) -> None:
    assert "hidden" in student.learns_from
    torch.manual_seed(0)
    module = student.module(30, 3).eval()
    found = module.outputs(IDS, {"hidden"})
    torch.testing.assert_close(module.output(found["hidden"]), found["logits"])
    assert torch.equal(module(IDS), found["logits"])


def test_teachers_record_hidden_states(folder_of: Any, context: CheckContext) -> None:
    from harness_transformers.transformer import Transformer

    train, validation = tiny_examples()
    teacher = Transformer(model=str(folder_of("bert")), epochs=1, pooling="mean")
    assert teacher.gives == {"logits", *NAMES}
    model: Any = teacher.fit(train, validation, context)
    hidden = model.hidden(validation.texts)
    assert hidden.shape == (len(validation.texts), 16) and hidden.dtype == np.float32
    output = model.module.output
    logits = hidden @ output.weight.detach().numpy().T + output.bias.detach().numpy()
    np.testing.assert_allclose(logits, model.predict(validation.texts), rtol=1e-4, atol=1e-5)
