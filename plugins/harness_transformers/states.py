"""Watching a transformer from within: hidden states, attention, queries, keys and values."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from harness import HarnessError

# What the architectures call their queries, keys and values: BERT, RoBERTa and ELECTRA; DistilBERT; MPNet;
# DeBERTa v2 and v3; BART's family.
_RELATIONS = (
    ("query", "key", "value"),
    ("q_lin", "k_lin", "v_lin"),
    ("q", "k", "v"),
    ("query_proj", "key_proj", "value_proj"),
    ("q_proj", "k_proj", "v_proj"),
)


class Watch:
    """What one pass through an encoder shows beside its result, of the names of :class:`harness.Batch`.

    The pass is made within ``with``, with `options`; :meth:`states` then tells. Attention comes before its
    dropout, which is therefore left out while it is watched. Raises HarnessError where the architecture
    does not show what is asked for.
    """

    def __init__(self, encoder: Any, names: Collection[str], head: bool) -> None:
        self.encoder = encoder
        self.names = names
        self.head = head  # whether the encoder has a classification head of its own
        self.options: dict[str, Any] = {}
        self._seen: dict[str, Tensor] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        with ExitStack() as undone:  # where the architecture does not show what is asked for
            undone.callback(self._stack.close)
            self._start()
            undone.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def states(self, found: Any, pooled: Tensor | None) -> dict[str, Any]:
        """The states that were asked for, of the pass's result and of what its linear layer saw."""
        states: dict[str, Any] = {}
        if "hidden" in self.names:
            states["hidden"] = self._seen.get("hidden") if pooled is None else pooled
            if states["hidden"] is None or states["hidden"].dim() != 2:
                raise self._nothing("hidden state of a text as a whole")
        for name, attribute in (("layers", "hidden_states"), ("attention", "attentions")):
            if name in self.names:
                states[name] = getattr(found, attribute, None)
                if not states[name] or states[name][0] is None:
                    raise self._nothing(name)
        if "relations" in self.names:
            _, parts = _attention_of(layers_of(self.encoder)[-1], self.encoder)
            states["relations"] = tuple(self._seen[part] for part in parts)
        return states

    def _start(self) -> None:
        names, encoder = self.names, self.encoder
        if "layers" in names:
            self.options["output_hidden_states"] = True
        if "attention" in names:
            self.options["output_attentions"] = True
            usual = encoder.config._attn_implementation
            if usual != "eager":  # no other keeps the probabilities
                encoder.set_attn_implementation("eager")
                self._stack.callback(encoder.set_attn_implementation, usual)
            if encoder.training:
                for layer in layers_of(encoder):
                    attention, _ = _attention_of(layer, encoder)
                    attention.eval()
                    self._stack.callback(attention.train)
        if "relations" in names:
            attention, parts = _attention_of(layers_of(encoder)[-1], encoder)
            for part in parts:
                self._hook(getattr(attention, part), part)
        if "hidden" in names and self.head:
            self._watch_head()

    def _hook(self, layer: nn.Module, name: str) -> None:
        # DeBERTa asks the same layers again, of relative positions: the first time, it is of tokens.
        def keep(layer: nn.Module, given: Any, output: Tensor) -> None:
            self._seen.setdefault(name, output)

        self._stack.callback(layer.register_forward_hook(keep).remove)

    def _watch_head(self) -> None:
        """Keep what the head's last linear layer sees, or where dropout comes before it, what that sees."""
        base = set(self.encoder.base_model.modules())
        head = [module for module in self.encoder.modules() if module not in base]
        linear = [module for module in head if isinstance(module, nn.Linear)]
        if not linear:
            raise self._nothing("hidden state of a text as a whole")
        dropped: list[tuple[Tensor, Tensor]] = []

        def after_dropout(layer: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
            dropped.append((given[0], output))

        def before_last(layer: nn.Module, given: tuple[Tensor]) -> None:
            before = next((before for before, after in dropped if after is given[0]), given[0])
            self._seen["hidden"] = before

        for module in head:
            if isinstance(module, nn.Dropout):
                self._stack.callback(module.register_forward_hook(after_dropout).remove)
        self._stack.callback(linear[-1].register_forward_pre_hook(before_last).remove)

    def _nothing(self, what: str) -> HarnessError:
        return HarnessError(f"a model of type '{self.encoder.config.model_type}' shows no {what}")


def layers_of(encoder: Any) -> nn.ModuleList:
    """An encoder's layers. Raises HarnessError where it is not clear which they are."""
    parent, name = place_of_layers(encoder)
    found = getattr(parent, name)
    assert isinstance(found, nn.ModuleList)
    return found


def place_of_layers(encoder: Any) -> tuple[nn.Module, str]:
    """The module that holds an encoder's layers, and its attribute's name."""
    config = encoder.config
    count = getattr(config, "num_hidden_layers", None)
    found = [
        (parent, name)
        for parent in encoder.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == count
    ]
    if len(found) != 1:
        raise HarnessError(
            f"which layers to compare or to take is not clear in a model of type '{config.model_type}': "
            f"it has {len(found)} lists of {count} layers"
        )
    return found[0]


def _attention_of(layer: nn.Module, encoder: Any) -> tuple[nn.Module, tuple[str, str, str]]:
    """A layer's self-attention, and the names of its queries', keys' and values' linear layers."""
    for module in layer.modules():
        for names in _RELATIONS:
            if all(isinstance(getattr(module, name, None), nn.Linear) for name in names):
                return module, names
    known = ", ".join("/".join(names) for names in _RELATIONS)
    raise HarnessError(
        f"no queries, keys and values were found in a model of type '{encoder.config.model_type}'; "
        f"names that are known: {known}"
    )
