"""The scores of a trial are those of the components that were tried."""

from __future__ import annotations

import json

from harness import catalog
from harness.distill.scores import Scored
from harness.parameters import parameters_of

INSTALLED = catalog.load()


def test_a_score_is_that_of_exactly_these_parameters() -> None:
    plain, wide = (INSTALLED.build("student", {"use": "cnn", **more}) for more in ({}, {"filters": 64}))
    part = {"name": "cnn", "params": json.loads(json.dumps(parameters_of(wide), default=str))}
    found = Scored("distilled", part, 0.9, "cnn 90.0 %", 1000.0)
    assert found.is_for(wide) and not found.is_for(plain)
    assert not found.is_for(INSTALLED.build("student", {"use": "bigru"}))
