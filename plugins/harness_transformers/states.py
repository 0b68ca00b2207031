"""Read a transformer's inner states: hidden states, attention, queries, keys and values."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from harness import HarnessError

# The names of queries, keys and values, by architecture: BERT, RoBERTa and ELECTRA; DistilBERT; MPNet;
# DeBERTa v2 and v3; the BART family.
_RELATIONS = (
    ("query", "key", "value"),
    ("q_lin", "k_lin", "v_lin"),
    ("q", "k", "v"),
    ("query_proj", "key_proj", "value_proj"),
    ("q_proj", "k_proj", "v_proj"),
)


class Watch:
    """The inner states of one pass through an encoder, by the names of :class:`harness.Batch`.

    Run the pass within ``with``, with the arguments `options`; :meth:`states` then returns the states.
    Attention is read before its dropout, so this dropout is off meanwhile. Raise HarnessError if the
    architecture does not provide a state.
    """

    def __init__(self, encoder: Any, names: Collection[str], head: bool) -> None:
        self.encoder = encoder
        self.names = names
        self.head = head  # whether the encoder has its own classification head
        self.options: dict[str, Any] = {}
        self._seen: dict[str, Tensor] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        with ExitStack() as undone:  # if the architecture does not provide a state
            undone.callback(self._stack.close)
            self._start()
            undone.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def states(self, found: Any, pooled: Tensor | None) -> dict[str, Any]:
        """Return the states, given the result of the pass and the input of the linear layer on it, if any."""
        states: dict[str, Any] = {}
        if "hidden" in self.names:
            states["hidden"] = self._seen.get("hidden") if pooled is None else pooled
            if states["hidden"] is None or states["hidden"].dim() != 2:
                raise self._nothing("hidden state of whole texts")
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
            if usual != "eager":  # the others do not keep the probabilities
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
        # DeBERTa calls the same layers again for relative positions: only the first call is for tokens.
        def keep(layer: nn.Module, given: Any, output: Tensor) -> None:
            self._seen.setdefault(name, output)

        self._stack.callback(layer.register_forward_hook(keep).remove)

    def _watch_head(self) -> None:
        """Keep the input of the head's last linear layer, before dropout if there is any."""
        base = set(self.encoder.base_model.modules())
        head = [module for module in self.encoder.modules() if module not in base]
        linear = [module for module in head if isinstance(module, nn.Linear)]
        if not linear:
            raise self._nothing("hidden state of whole texts")
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
        return HarnessError(f"cannot read the {what} of a model of type '{self.encoder.config.model_type}'")


def layers_of(encoder: Any) -> nn.ModuleList:
    """Return an encoder's layers. Raise HarnessError if they cannot be identified."""
    parent, name = place_of_layers(encoder)
    found = getattr(parent, name)
    assert isinstance(found, nn.ModuleList)
    return found


def place_of_layers(encoder: Any) -> tuple[nn.Module, str]:
    """Return the module that contains an encoder's list of layers, and the name of its attribute."""
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
            f"cannot find the layers of a model of type '{config.model_type}': "
            f"expected one list of {count} layers, got {len(found)}"
        )
    return found[0]


def _attention_of(layer: nn.Module, encoder: Any) -> tuple[nn.Module, tuple[str, str, str]]:
    """Return a layer's self-attention, and the names of its linear layers for queries, keys and values."""
    for module in layer.modules():
        for names in _RELATIONS:
            if all(isinstance(getattr(module, name, None), nn.Linear) for name in names):
                return module, names
    known = ", ".join("/".join(names) for names in _RELATIONS)
    raise HarnessError(
        f"cannot find queries, keys and values in a model of type '{encoder.config.model_type}'; "
        f"known names: {known}"
    )
