"""Labels of components."""

from __future__ import annotations

from typing import Any

import pytest
from stand_ins import Kl, Mlp

from harness import naming
from harness.api import Component, parameters_of
from harness.naming import component_labeller


def test_components_are_labelled_as_they_are_in_records() -> None:
    small, large, loss = Mlp(width=8), Mlp(width=16), Kl()
    label = component_labeller([small, loss, large, small])
    assert (label(small), label(large), label(loss)) == ("mlp(width=8)", "mlp(width=16)", "kl")


def test_a_component_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[object] = []

    def counted(component: Component) -> dict[str, Any]:
        described.append(component)
        return parameters_of(component)

    monkeypatch.setattr(naming, "parameters_of", counted)
    small = Mlp(width=8)
    label = component_labeller([small] * 1000)
    assert {label(small) for _ in range(1000)} == {"mlp"}
    assert described == [small]
