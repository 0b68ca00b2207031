"""Write the weights of an exported transformer with the names that other programs expect.

An export in the store has no second copy of the model's weights. ``weights.json`` says which tensor of the
fitted model each tensor of ``model.safetensors`` is, and ``rest.safetensors`` has the few that it lacks. The
file is put together when the model is shipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"  # the architecture and the labels, as Transformers writes them
WEIGHTS = "model.safetensors"
NAMES, REST = "weights.json", "rest.safetensors"  # in the store only
CODE = "pooled.py"  # the class of a model that Transformers has no class for
TORCH = frozenset({WEIGHTS, CODE, NAMES, REST})  # files that no graph needs


def describe(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], folder: Path) -> None:
    """Write which of a model's `own` tensors the given ones are, and those that are none of them.

    Tensors that share their memory count once.
    """
    from safetensors.torch import save_file

    known: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, value in own.items():
        known.setdefault((value.data_ptr(), tuple(value.shape)), name)
    names: dict[str, str] = {}
    rest: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        if value.numel():
            if value.data_ptr() in seen:
                continue
            seen.add(value.data_ptr())
        source = known.get((value.data_ptr(), tuple(value.shape))) if value.numel() else None
        if source is None:
            rest[name] = value.contiguous()
        else:
            names[name] = source
    (folder / NAMES).write_text(json.dumps(names), encoding="utf-8")
    save_file(rest, folder / REST)


def assemble(model: Path, export: Path, target: Path) -> None:
    """Write ``model.safetensors`` to `target`, from the folders of a fitted model and of its export."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    names: dict[str, str] = json.loads((export / NAMES).read_text(encoding="utf-8"))
    tensors = load_file(export / REST)
    with safe_open(model / WEIGHTS, framework="numpy") as stored:
        tensors |= {name: stored.get_tensor(source) for name, source in names.items()}
    save_file(tensors, target, metadata={"format": "pt"})
