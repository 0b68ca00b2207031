"""Find pretrained weights: in a local folder, in the hub's cache, or on the hub."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from harness import HarnessError, Unavailable
from harness.sources.hub import hub_answers, offline

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm")
PICKLED = "pytorch_model*.bin"  # downloaded only if there is nothing else; only tensors are read


def folder_fingerprint(folder: Path) -> str:
    """Return a digest of the names and bytes of a model folder's files."""
    folder = folder.expanduser()
    if not (folder / "config.json").is_file():
        raise HarnessError(f"cannot find a model in {str(folder)!r}: config.json is missing")
    total = hashlib.sha256()
    for path in sorted(path for pattern in (*WANTED, PICKLED) for path in folder.glob(pattern)):
        with path.open("rb") as stream:
            total.update(f"{path.name}={hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def hub_commit(model: str, revision: str) -> str:
    """Return the commit of a revision, from the cache or the hub. Raise Unavailable if neither has it."""
    if cached := _cached(model, revision):
        return cached.name
    if offline() or not hub_answers():
        raise Unavailable(
            f"cannot find model '{model}': not in the hub's cache, and the hub cannot be reached"
        )
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return str(HfApi().model_info(model, revision=revision, timeout=10).sha)
    except HFValidationError as error:
        raise HarnessError(f"cannot find model '{model}': neither a folder nor a hub id: {error}") from None
    except (HfHubHTTPError, OSError) as error:
        where = f"model '{model}' at revision '{revision}'"
        raise Unavailable(f"cannot find {where} on the hub: {error}") from None


def hub_snapshot(model: str, revision: str) -> Path:
    """Return the folder of a model's files in the cache, downloading them if necessary. Raise Unavailable."""
    if cached := _cached(model, revision):
        return cached
    if offline():
        raise Unavailable(f"cannot find model '{model}': not in the hub's cache, and HF_HUB_OFFLINE is set")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(WANTED)))
        if not any(folder.glob("*.safetensors")):
            snapshot_download(model, revision=revision, allow_patterns=[PICKLED])
        return folder
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot download model '{model}': {str(error).splitlines()[0]}") from None


def has_tokenizer(folder: Path) -> bool:
    """Return whether a model folder has any of the files that tokenizers are built from."""
    return any(path for pattern in ("tokenizer.json", "vocab.*", "*.model") for path in folder.glob(pattern))


def _cached(model: str, revision: str) -> Path | None:
    """Return a model's snapshot in the cache if it is complete, else None. No library is imported."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or caches / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    repository = cache / f"models--{model.replace('/', '--')}"
    reference = repository / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    snapshot = repository / "snapshots" / commit
    whole = _has_weights(snapshot) and has_tokenizer(snapshot) and (snapshot / "config.json").is_file()
    return snapshot if whole else None


def _has_weights(snapshot: Path) -> bool:
    """Return whether a snapshot has all files of a model's weights."""
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (snapshot / index).is_file():
            parts = set(json.loads((snapshot / index).read_text(encoding="utf-8"))["weight_map"].values())
            return all((snapshot / part).is_file() for part in parts)
    return any(path for pattern in ("*.safetensors", PICKLED) for path in snapshot.glob(pattern))
