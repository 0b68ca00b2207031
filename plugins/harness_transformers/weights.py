"""Find pretrained weights: in a local folder, in HARNESS_MODELS, in the hub's cache, or on the hub."""

from __future__ import annotations

import hashlib
import json
import re
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from harness import HarnessError, Unavailable
from harness.sources.downloads import downloading, hub_cache, known_to_hub, refusal
from harness.sources.hub import hub_answers, offline
from harness_transformers.inspection import (
    PICKLED,
    WANTED,
    check_folder,
    has_tokenizer,
    original_of,
    rounded_bits,
)
from harness_transformers.mirror import VARIABLE, absent, mirrored, mirrored_caches


def is_path(model: str) -> bool:
    """Return whether a model's name is the path of a folder."""
    return model.startswith((".", "/", "~")) or Path(model).is_dir()


def local_folder(model: str) -> Path | None:
    """Return the folder that a model's name means, as a path or in HARNESS_MODELS; None: ask the hub."""
    return Path(model).expanduser() if is_path(model) else mirrored(model)


def base_of(model: str, revision: str, published: str = "") -> str:
    """Return the fingerprint of a model's folder, or the commit of the hub; see :func:`folder_of`."""
    folder = local_folder(model)
    if folder is None:
        return hub_commit(model, revision)
    fingerprint = folder_fingerprint(folder)
    _check_published(model, folder, published)
    return fingerprint


def folder_of(model: str, revision: str, published: str = "") -> Path:
    """Return the folder of a model's files, downloading them if necessary.

    `published` is the SHA-256 of the published weights, if it is known. Raise Unavailable if a folder has
    others, or if there is no such model, and HarnessError if the files are no model.
    """
    folder = local_folder(model)
    if folder is None:
        return hub_snapshot(model, revision)
    check_folder(folder)
    _check_published(model, folder, published)
    return folder


def known_folder(model: str, revision: str) -> Path | None:
    """Return the folder of a model's files if it is on this machine, else None; it never fails."""
    try:
        return local_folder(model) or cached(model, revision)
    except HarnessError:  # HARNESS_MODELS is no folder, as `base_of` tells
        return None


def note_of(model: str, revision: str, published: str = "") -> str:
    """Return what readers of results must know about a model's weights, in a sentence, or ""."""
    folder = known_folder(model, revision)
    if folder is None:
        return ""
    shown = f"model '{model}'"
    if bits := rounded_bits(folder):
        original = original_of(folder)
        whose = f"the weights of {original}" if original else "not the original weights"
        return f"{shown} has {whose}, rounded to {bits} bit{'s' * (bits > 1)}"
    pinned = revision != "main" and mirrored(model) == folder
    if pinned and not (published and _sha256(folder / "model.safetensors") == published):
        return f"{shown} is a folder in {VARIABLE}, which may differ from revision {revision[:8]} of the hub"
    return ""


def _check_published(model: str, folder: Path, published: str) -> None:
    """Raise Unavailable if the weights in a folder have another SHA-256 than the published ones."""
    found = _sha256(folder / "model.safetensors")
    if published and found != published:
        bits = rounded_bits(folder)
        how = f"they are rounded to {bits} bits" if bits else f"their sha256 is {found[:12] or 'unknown'}…"
        raise Unavailable(
            f"cannot use '{model}' in {VARIABLE}: its weights are not the published ones ({how}; expected "
            f"sha256 {published[:12]}…); rename its folder, and name it as `model` of teacher 'transformer'"
        )


def folder_fingerprint(folder: Path) -> str:
    """Return a digest of the names and bytes of a model folder's files, after :func:`check_folder`."""
    folder = folder.expanduser()
    check_folder(folder)
    total = hashlib.sha256()
    for path in sorted(path for pattern in (*WANTED, PICKLED) for path in folder.glob(pattern)):
        total.update(f"{path.name}={_sha256(path)}\n".encode())
    return total.hexdigest()


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or "" if there is none; it is remembered until the file changes."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return ""
    return _digest(path, now.st_ino, now.st_size, now.st_mtime_ns)


@lru_cache(maxsize=1024)
def _digest(path: Path, *version: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hub_commit(model: str, revision: str) -> str:
    """Return the commit of a revision, from the cache or the hub. Raise Unavailable if neither has it."""
    if snapshot := cached(model, revision):
        return snapshot.name
    _check_id(model)
    where, has = absent(model)
    if offline() or not hub_answers():
        raise Unavailable(
            f"cannot find model '{model}': {where}not in the hub's cache, and the hub cannot be reached{has}"
        )
    try:
        return str(known_to_hub("model", model, revision).sha)
    except Exception as error:  # of the hub, or of its client for HTTP
        where = f"model '{model}'" + ("" if revision == "main" else f" at revision '{revision}'")
        raise Unavailable(f"cannot get {where} from the hub: {refusal(error, 'model', model)}{has}") from None


def hub_snapshot(model: str, revision: str) -> Path:
    """Return the folder of a model's files in the cache, downloading them if necessary.

    Raise Unavailable if that is impossible, and HarnessError if the files are no model.
    """
    folder = _snapshot(model, revision)
    check_folder(folder)
    return folder


def _snapshot(model: str, revision: str) -> Path:
    if snapshot := cached(model, revision):
        return snapshot
    _check_id(model)
    where, has = absent(model)
    if offline():
        raise Unavailable(
            f"cannot find model '{model}': {where}not in the hub's cache, and HF_HUB_OFFLINE is set{has}"
        )
    from huggingface_hub import snapshot_download

    try:
        sizes = {
            file.rfilename: file.size or 0
            for file in known_to_hub("model", model, revision).siblings
            if "/" not in file.rfilename
            if any(fnmatch(file.rfilename, pattern) for pattern in (*WANTED, PICKLED))
        }
        if any(name.endswith(".safetensors") for name in sizes):
            sizes = {name: size for name, size in sizes.items() if not fnmatch(name, PICKLED)}
        with downloading("model", model, sum(sizes.values())):
            found = snapshot_download(
                model, revision=revision, allow_patterns=list(sizes), cache_dir=hub_cache()
            )
            return Path(found)
    except Exception as error:  # of the hub, of its client for HTTP, or of the disk
        raise Unavailable(f"cannot download model '{model}': {refusal(error, 'model', model)}{has}") from None


def _check_id(model: str) -> None:
    """Raise HarnessError unless a name can be that of a model on the hub."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model, re.ASCII):
        raise HarnessError(
            f"cannot find model '{model}': neither a folder nor a hub id such as FacebookAI/roberta-base"
            f"{absent(model)[1]}"
        )


def cached(model: str, revision: str) -> Path | None:
    """Return a model's complete snapshot in HARNESS_MODELS or in the hub's cache; None if there is none.

    No library is imported.
    """
    for cache in (*mirrored_caches(), hub_cache()):
        repository = cache / f"models--{model.replace('/', '--')}"
        reference = repository / "refs" / revision
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
        snapshot = repository / "snapshots" / commit
        if _has_weights(snapshot) and has_tokenizer(snapshot) and (snapshot / "config.json").is_file():
            return snapshot
    return None


def _has_weights(snapshot: Path) -> bool:
    """Return whether a snapshot has all files of a model's weights."""
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (snapshot / index).is_file():
            parts = set(json.loads((snapshot / index).read_text(encoding="utf-8"))["weight_map"].values())
            return all((snapshot / part).is_file() for part in parts)
    return any(path for pattern in ("*.safetensors", PICKLED) for path in snapshot.glob(pattern))
