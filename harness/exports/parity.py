"""Judge how far an exported form may be from its model; a task type's ``parity`` compares the two."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 1e-3  # largest difference of two logits, relative to their spread
CHANGED = 0.005  # share of predictions that may differ
LOST = 0.01  # of accuracy, of F1, or of the correlation of a regression, that int8 may not lose
# Nats that int8 may add to the mean negative log-likelihood of hidden tokens. Accuracy alone hides what it
# does to all other probabilities, which are what a language model is asked for; 0.05 is 5 % of perplexity.
RISEN = 0.05


def is_same(compared: dict[str, Any]) -> bool:
    """Return whether a form in fp32 is the model itself."""
    # So written that a difference of NaN fails too.
    close = compared["difference"] <= TOLERANCE * compared["spread"]
    return bool(close and compared["changed"] <= CHANGED * compared["outputs"])


def too_much_lost(compared: dict[str, Any]) -> str:
    """Return why a form in int8 is rejected; "" if it is not."""
    lost, error = compared["lost"], compared["error"]
    if not np.isfinite(compared["difference"]):
        return "its outputs are not finite"
    if lost >= LOST and lost > 2 * error:
        return (
            f"it loses {100 * lost:.1f} points of the score on {compared['texts']} texts; "
            f"allowed: less than {100 * LOST:.0f}"
        )
    if (risen := compared.get("risen", 0.0)) > RISEN + 2 * compared.get("risen_error", 0.0):
        return (
            f"its mean negative log-likelihood is {risen:.2f} nats higher on {compared['texts']} texts; "
            f"allowed: {RISEN}"
        )
    return ""
