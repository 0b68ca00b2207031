"""Find what is wrong with a model folder before it is loaded, without torch, and word what loading raises."""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import HarnessError, Unavailable

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm")
PICKLED = "pytorch_model*.bin"  # downloaded only if there is nothing else; only tensors are read
_INDICES = {"model.safetensors": "model.safetensors.index.json"}
_INDICES["pytorch_model.bin"] = "pytorch_model.bin.index.json"
_LONGEST = 500_000_000  # bytes of a JSON file; the largest tokenizers have a tenth
_POINTER = b"version https://git-lfs"
# The last parts of the names of input embeddings, by architecture.
_TABLES = ("word_embeddings", "word_embedding", "embed_tokens", "wte", "embed_in", "shared", "tok_embeddings")
_FLOATS = {"F32": 4, "F16": 2, "BF16": 2}  # bytes
_BLOCK, _BLOCKS = 32, 256  # numbers of a block that are looked at together, and the number of such blocks
# What a folder contains in place of a model for Transformers → what to do about it.
_OTHERS = {
    "adapter_config.json": "it is an adapter (PEFT); save the model with it, by merge_and_unload()",
    "export.json": "it is an exported model of this harness; use it with `harness predict`",
    "model_index.json": "it is a diffusion pipeline, which is not a model of text",
    "meta.json": "it may be a pipeline of spaCy; use student 'spacy-textcat' to train one",
    "*.gguf": "it is a model for llama.cpp; get the model's safetensors",
    "*.onnx": "it is an ONNX graph, which cannot be trained; get the model's safetensors",
    "onnx/*.onnx": "it is an ONNX graph, which cannot be trained; get the model's safetensors",
    "tf_model.h5": "it is for TensorFlow; convert it with transformers 4 (from_tf=True)",
    "flax_model.msgpack": "it is for Flax; convert it with transformers 4 (from_flax=True)",
    "*/config.json": "the model is in its subfolder",
    "*.safetensors": "rename the weights to model.safetensors if they are a whole model",
}


def check_folder(folder: Path) -> dict[str, Any]:
    """Return the configuration in a model folder. Raise HarnessError, with a remedy, if it cannot be loaded.

    Files are looked at, not read whole: the beginning of weights, and the JSON files. Raise Unavailable if a
    package is missing that its tokenizer needs.
    """
    _check_entries(folder)
    if not (folder / "config.json").exists():
        raise HarnessError(f"cannot find a model in {str(folder)!r}: config.json is missing{_advice(folder)}")
    config = _table(folder / "config.json")
    for name in ("num_hidden_layers", "num_layers", "n_layers", "n_layer"):
        if isinstance(layers := config.get(name, 1), int) and layers < 1:
            raise HarnessError(
                f"cannot read {folder / 'config.json'}: expected layers, got {name} = {layers}"
            )
    _check_type(folder, config)
    rows = _rows(_check_weights(folder))
    _check_tokenizer(folder)
    size = config.get("vocab_size")
    if rows is not None and isinstance(size, int) and size != rows:
        raise HarnessError(
            f"cannot load the weights in {folder}: the table of embeddings has {rows} rows, but config.json "
            f"has vocab_size = {size}; use the files of one model"
        )
    _check_size(folder, size if rows is None else rows)
    return config


@contextmanager
def loading(failed: str, remedy: str = "") -> Iterator[None]:
    """Raise HarnessError for any error of a library: what `failed` ("cannot load X"), why, and a remedy."""
    try:
        yield
    except (HarnessError, MemoryError):
        raise
    except Exception as error:  # Transformers, safetensors and tokenizers raise errors of many types
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[0].rstrip(".") if lines else type(error).__name__
        if why.endswith(":"):
            why = " ".join(lines[:2])
        if isinstance(error, KeyError):
            why = f"transformers does not know {why}"
        if unfit := re.search(r"kind of AutoModel: (?:AutoModel)?(\w+)", str(error)):
            why = f"transformers has no model {unfit[1]} of this architecture"
        if isinstance(error, ImportError) and "sentencepiece" in str(error).lower():
            why = "it needs the package sentencepiece; pip install 'distil-harness[sentencepiece]'"
        elif "trust_remote_code" in str(error):
            why = "it needs custom code, which is never run; use another architecture"
        elif "weights_only" in str(error) or type(error).__name__ == "UnpicklingError":
            why = "its pickled weights are damaged, or contain more than tensors; save them as safetensors"
        raise HarnessError("; ".join(filter(None, (f"{failed}: {why}", remedy)))) from None


def has_tokenizer(folder: Path) -> bool:
    """Return whether a model folder has any of the files that tokenizers are built from."""
    return any(path for pattern in ("tokenizer.json", "vocab.*", "*.model") for path in folder.glob(pattern))


def rounded_bits(folder: Path) -> int | None:
    """Return the bits to which the weights in a folder were rounded in blocks, or None if they were not.

    Blocks of 32 numbers from the largest matrix are looked at. Numbers that were rounded to 4 bits have at
    most 16 values in a block, and others hardly ever two equal ones.
    """
    largest: tuple[int, Path, int, str] | None = None
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                tensors = json.loads(stream.read(length))
            for name, each in tensors.items():
                if name != "__metadata__" and len(each["shape"]) == 2 and each["dtype"] in _FLOATS:
                    size = each["shape"][0] * each["shape"][1]
                    if largest is None or size > largest[0]:
                        largest = size, path, 8 + length + each["data_offsets"][0], each["dtype"]
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
            continue  # damaged, as loading it will tell
    if largest is None:
        return None
    size, path, start, dtype = largest
    width, blocks = _FLOATS[dtype], size // _BLOCK
    values: list[int] = []  # different numbers in each block
    zero, minus_zero = bytes(width), bytes(width - 1) + b"\x80"
    with path.open("rb") as stream:
        for block in range(0, blocks, max(1, blocks // _BLOCKS)):
            stream.seek(start + block * _BLOCK * width)
            data = stream.read(_BLOCK * width)
            numbers = [data[at : at + width] for at in range(0, len(data), width)]
            numbers = [zero if number == minus_zero else number for number in numbers]
            if numbers.count(zero) < _BLOCK // 2:  # else it is padding, or pruned
                values.append(len(set(numbers)))
    few = [count for count in values if count <= _BLOCK // 2]
    if len(values) < _BLOCKS // 8 or len(few) < 0.95 * len(values):
        return None
    return max(1, (max(few) - 1).bit_length())


def original_of(folder: Path) -> str:
    """Return the model that one was made from, as the card in its folder tells; "" if it does not."""
    try:
        with (folder / "README.md").open(encoding="utf-8") as stream:
            head = stream.read(10_000)
    except (OSError, ValueError):
        return ""
    found = re.search(r"^base_model:\s*(?:-\s*)?[\"']?([\w.-]+(?:/[\w.-]+)?)", head, re.MULTILINE)
    return found[1] if found and head.startswith("---") else ""


def _check_entries(folder: Path) -> None:
    """Raise HarnessError unless it is a folder of files that can be read: others may never end."""
    try:
        entries = sorted(folder.iterdir())
        entries += sorted((folder / "additional_chat_templates").glob("*"))  # of tokenizers
    except NotADirectoryError:
        raise HarnessError(
            f"expected a model folder, got the file {str(folder)!r}; name its folder"
        ) from None
    except FileNotFoundError:
        why = "there is no such folder; check the path"
        raise HarnessError(f"cannot find a model in {str(folder)!r}: config.json is missing, {why}") from None
    except (OSError, ValueError) as error:
        raise HarnessError(f"cannot read the model folder {str(folder)!r}: {_reason(error)}") from None
    for path in entries:
        read = any(path.match(pattern) for pattern in (*WANTED, PICKLED, "*.jinja"))
        try:
            mode = path.stat().st_mode
            if read and stat.S_ISREG(mode):
                path.open("rb").close()
        except OSError as error:
            if read:
                raise HarnessError(f"cannot read {path}: {_reason(error)}") from None
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or (read and stat.S_ISDIR(mode)):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise HarnessError(f"expected a file at {path}, got {kind}; remove it from the model folder")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _advice(folder: Path) -> str:
    """Return what a folder without a configuration or weights has instead, and what to do, or ""."""
    for pattern, advice in _OTHERS.items():
        if found := sorted(path for path in folder.glob(pattern) if path.name not in _INDICES):
            return f", and there is {found[0].relative_to(folder)}: {advice}"
    return ""


def _table(path: Path) -> dict[str, Any]:
    """Return a JSON object in a file."""
    _check_start(path)
    try:
        if path.stat().st_size > _LONGEST:
            raise HarnessError(f"cannot read {path}: it has more than {_LONGEST // 10**6} MB; get it again")
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        found = None
    except ValueError as error:
        raise HarnessError(f"cannot read {path}: it is not JSON: {error}; get the file again") from None
    if not isinstance(found, dict):
        raise HarnessError(f"cannot read {path}: expected a JSON object; get the file again")
    return found


def _check_start(path: Path) -> None:
    """Raise HarnessError if a file is a stand-in for another that was not downloaded."""
    with path.open("rb") as stream:
        start = stream.read(64).lstrip().lower()
    if start.startswith(_POINTER):
        raise HarnessError(
            f"cannot read {path}: it is a pointer of Git LFS, not the file itself; run `git lfs pull` in its "
            "repository, or download the file"
        )
    if start.startswith((b"<!doctype html", b"<html")):
        raise HarnessError(
            f"cannot read {path}: it is a web page, not the file itself; download the file again"
        )
    if not start:
        raise HarnessError(f"cannot read {path}: it is empty; get the file again")


def _check_type(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise HarnessError if Transformers does not know the architecture in a configuration."""
    kind = config.get("model_type")
    if kind is None and not config.get("auto_map"):
        return  # Transformers then guesses it from the folder's name
    if isinstance(kind, str) and re.fullmatch(r"[\w.-]+", kind):
        # The import of Transformers takes seconds: look into its files instead.
        spec = find_spec("transformers")
        models = Path(spec.origin).parent / "models" if spec is not None and spec.origin else None
        if models is None or (models / kind.replace("-", "_")).is_dir():
            return
        sources = (models / "auto" / name for name in ("auto_mappings.py", "configuration_auto.py"))
        if any(f'"{kind}"' in path.read_text(encoding="utf-8") for path in sources if path.is_file()):
            return
    if config.get("auto_map"):
        raise HarnessError(
            f"cannot load the model in {folder}: it needs custom code (auto_map in config.json), which is "
            "never run; use another architecture"
        )
    raise HarnessError(
        f"cannot load the model in {folder}: transformers {version('transformers')} does not know model_type "
        f"{kind!r} in config.json; check its spelling, or install a later version of transformers"
    )


def _check_weights(folder: Path) -> dict[str, list[int]]:
    """Return the shape of each tensor, if the weights are safetensors. Raise HarnessError without weights."""
    for whole, index in _INDICES.items():
        if (folder / whole).is_file():
            return _header(folder / whole)
        if (folder / index).is_file():
            parts = _table(folder / index).get("weight_map")
            names = list(parts.values()) if isinstance(parts, dict) else [None]
            if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
                raise HarnessError(f"cannot read {folder / index}: expected names of files in weight_map")
            files = sorted({str(name) for name in names})
            if missing := [name for name in files if not (folder / name).is_file()]:
                raise HarnessError(
                    f"cannot load the weights in {folder}: {len(missing)} of {len(files)} files are missing, "
                    f"such as {missing[0]}; download them again"
                )
            found: dict[str, list[int]] = {}
            for name in files:
                found |= _header(folder / name)
            return found
    raise HarnessError(f"cannot load the weights in {folder}: model.safetensors is missing{_advice(folder)}")


def _header(path: Path) -> dict[str, list[int]]:
    """Return the shape of each tensor in a file; nothing for a pickled file."""
    _check_start(path)
    size = path.stat().st_size
    if path.suffix != ".safetensors":
        with path.open("rb") as stream:
            start = stream.read(2)
        if start == b"PK" and not zipfile.is_zipfile(path):
            raise HarnessError(f"cannot read {path}: it is cut off; download it again")
        if start[:1] not in (b"P", b"\x80"):
            raise HarnessError(f"cannot read {path}: it is not a file of PyTorch weights; download it again")
        return {}
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > size - 8:
            raise HarnessError(
                f"cannot read {path}: it is cut off, or not a safetensors file; download it again"
            )
        try:
            tensors = json.loads(stream.read(length))
            tensors.pop("__metadata__", None)
            end = max((each["data_offsets"][1] for each in tensors.values()), default=0)
            shapes = {name: [int(n) for n in each["shape"]] for name, each in tensors.items()}
            due = 8 + length + int(end)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise HarnessError(f"cannot read {path}: its header is damaged; download it again") from None
    if size != due:
        raise HarnessError(f"cannot read {path}: expected {due} bytes, got {size}; download it again")
    return shapes


def _rows(shapes: Mapping[str, list[int]]) -> int | None:
    """Return the rows of the input embeddings, or None if they are not found."""
    named = [name for name in shapes if name.endswith(tuple(f"{table}.weight" for table in _TABLES))]
    named = [name for name in named if name.split(".")[-2] in _TABLES and len(shapes[name]) == 2]
    # If there are several, such as an encoder's and a decoder's, take the one nearest the root.
    return min(((name.count("."), name, shapes[name][0]) for name in named), default=(0, "", None))[2]


def _check_tokenizer(folder: Path) -> None:
    """Raise HarnessError if files of a tokenizer are missing or damaged; Unavailable without a package."""
    if not has_tokenizer(folder):  # Transformers would make up an empty one
        raise HarnessError(
            f"cannot find a tokenizer in {folder}: tokenizer.json is missing; save the tokenizer there"
        )
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).is_file() and name != "tokenizer.json":
            _table(folder / name)
    if (folder / "tokenizer.json").is_file():
        if not isinstance(_table(folder / "tokenizer.json").get("model"), dict):
            raise HarnessError(
                f"cannot read {folder / 'tokenizer.json'}: it has no model; get the file again"
            )
        return
    for path in sorted(folder.glob("vocab.*")):
        _table(path) if path.suffix == ".json" else _check_start(path)
    for path in sorted(folder.glob("*.model")):
        _check_start(path)
        with path.open("rb") as stream:
            lines = re.match(rb"[A-Za-z0-9+/=]+ \d+\s", stream.read(256))  # those of tiktoken
        package = "tiktoken" if lines else "sentencepiece"
        if not list(folder.glob("vocab.*")) and find_spec(package) is None:
            extra = "'distil-harness[sentencepiece]'" if package == "sentencepiece" else package
            raise Unavailable(
                f"cannot load the tokenizer in {folder}: {path.name} needs the package {package}; "
                f"pip install {extra}, or save the tokenizer as tokenizer.json"
            )


def _check_size(folder: Path, rows: Any) -> None:
    """Raise HarnessError if tokenizer.json has ids without an embedding; padding needs none."""
    if not isinstance(rows, int) or not (folder / "tokenizer.json").is_file():
        return
    state = _table(folder / "tokenizer.json")
    words = state["model"].get("vocab") or {}
    try:
        ids = words.items() if isinstance(words, dict) else ((each[0], at) for at, each in enumerate(words))
        known = {str(word): int(number) for word, number in ids}
        known |= {str(each["content"]): int(each["id"]) for each in state.get("added_tokens") or ()}
    except (ValueError, TypeError, KeyError, IndexError):
        raise HarnessError(f"cannot read {folder / 'tokenizer.json'}: its vocabulary is damaged") from None
    settings = folder / "tokenizer_config.json"
    padding = _table(settings).get("pad_token") if settings.is_file() else None
    known.pop(padding.get("content", "") if isinstance(padding, dict) else str(padding), None)
    beyond = {number: word for word, number in known.items() if number >= rows}
    if beyond:
        raise HarnessError(
            f"cannot use the model in {folder}: its tokenizer has {max(beyond) + 1} ids, but there are "
            f"{rows} embeddings, none for {beyond[min(beyond)]!r}; use the tokenizer that the model was "
            "trained with, or enlarge the model with resize_token_embeddings()"
        )
