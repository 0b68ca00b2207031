"""Model folders that cannot be loaded: what is wrong is said in one line, before anything is loaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import HarnessError, Unavailable
from harness.testing.tiny import CheckContext, tiny_examples
from harness_transformers.inspection import check_folder, loading
from harness_transformers.transformer import Transformer

Folder = Callable[[str], Path]
Change = Callable[[Path], Any]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n"
CONFIG, WEIGHTS, TOKENS, INDEX = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "model.safetensors.index.json",
)


def write(name: str, content: bytes | str) -> Change:
    return lambda folder: (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def without(*names: str) -> Change:
    return lambda folder: [path.unlink() for name in names for path in folder.glob(name)]


def after(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def configure(name: str = CONFIG, **values: Any) -> Change:
    return lambda folder: (folder / name).write_text(
        json.dumps(json.loads((folder / name).read_text()) | values)
    )


def link(name: str, to: str) -> Change:
    return after(without(name), lambda folder: (folder / name).symlink_to(to))


def fifo(name: str) -> Change:
    return after(without(name), lambda folder: os.mkfifo(folder / name))


def listen(folder: Path) -> None:
    (folder / TOKENS).unlink()
    before = Path.cwd()
    os.chdir(folder)  # the names of sockets have a maximum length
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(TOKENS)
    os.chdir(before)


def cut(name: str, bytes_: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:bytes_])


def shards(*files: object) -> Change:
    index = json.dumps({"weight_map": {str(at): file for at, file in enumerate(files)}})
    return after(lambda folder: (folder / WEIGHTS).rename(folder / "a.safetensors"), write(INDEX, index))


def grown(folder: Path) -> None:
    state = json.loads((folder / TOKENS).read_text())
    state["model"]["vocab"]["grown"] = 500
    (folder / TOKENS).write_text(json.dumps(state))


def in_subfolder(folder: Path) -> None:
    shutil.copytree(folder, folder / "checkpoint-500")
    without("*.json", "*.safetensors")(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (
                write(name, POINTER),
                f"{name}: it is a pointer of Git LFS, not the file itself; run `git lfs pull`",
            )
            for name in (CONFIG, WEIGHTS, TOKENS, "tokenizer_config.json")
        ),
        *((write(name, b""), f"{name}: it is empty") for name in (CONFIG, WEIGHTS, TOKENS)),
        *(
            (write(name, "\n<!DOCTYPE html>"), f"{name}: it is a web page")
            for name in (CONFIG, WEIGHTS, TOKENS)
        ),
        *(
            (fifo(name), f"{name}, got a device, pipe or socket")
            for name in (CONFIG, WEIGHTS, "vocab.txt", "x")
        ),
        *((link(name, "/dev/zero"), f"{name}, got a device") for name in (CONFIG, WEIGHTS, TOKENS)),
        *((link(name, name), f"{name}: too many levels") for name in (CONFIG, WEIGHTS, TOKENS)),
        *((link(name, "nowhere"), f"{name}: no such file") for name in (CONFIG, WEIGHTS, TOKENS)),
        (listen, "got a device, pipe or socket"),
        (after(without(WEIGHTS), lambda folder: (folder / WEIGHTS).mkdir()), "got a folder"),
        (without(CONFIG), "config.json is missing$"),
        (without(WEIGHTS), "model.safetensors is missing$"),
        (without(TOKENS), "cannot find a tokenizer in"),
        (without("*"), "config.json is missing$"),
        (
            after(without(WEIGHTS, CONFIG), write("adapter_config.json", "{}")),
            r"adapter \(PEFT\); save the model",
        ),
        (after(without(WEIGHTS), write("model.onnx", "x")), "model.onnx: it is an ONNX graph"),
        (after(without(WEIGHTS), write("tf_model.h5", "x")), "it is for TensorFlow"),
        (after(without("*"), write("m.gguf", "x")), "it is a model for llama.cpp"),
        (in_subfolder, "checkpoint-500/config.json: the model is in its subfolder"),
        (lambda folder: (folder / WEIGHTS).rename(folder / "w.safetensors"), "rename the weights"),
        (cut(WEIGHTS, 50), "it is cut off"),
        (cut(WEIGHTS, 20000), r"expected \d+ bytes, got 20000; download it again"),
        (write(WEIGHTS, b"\x02" + bytes(7) + b"[]"), "its header is damaged"),
        (shards("a.safetensors", "b.safetensors"), "1 of 2 files are missing, such as b.safetensors"),
        (shards("../../etc/passwd"), "expected names of files in weight_map"),
        (shards(3), "expected names of files in weight_map"),
        (after(without(WEIGHTS), write("pytorch_model.bin", POINTER)), "pointer of Git LFS"),
        (after(without(WEIGHTS), write("pytorch_model.bin", b"PK\x03\x04cut")), "it is cut off"),
        (after(without(WEIGHTS), write("pytorch_model.bin", b"text")), "not a file of PyTorch weights"),
        (configure(model_type="bertt"), "does not know model_type 'bertt'"),
        (configure(model_type=3), "does not know model_type 3"),
        (configure(model_type="mine", auto_map={"AutoModel": "code.Model"}), "custom code .* never run"),
        (configure(vocab_size=99), "embeddings has 72 rows, but config.json has vocab_size = 99"),
        (configure(num_hidden_layers=0), "expected layers, got num_hidden_layers = 0"),
        *(
            (write(name, "{"), f"{name}: it is not JSON")
            for name in (CONFIG, TOKENS, "special_tokens_map.json")
        ),
        (write(CONFIG, "[1]"), "expected a JSON object"),
        (write(CONFIG, "[" * 100_000), "cannot read"),
        (write(CONFIG, "{}".encode("utf-16")), "it is not JSON"),
        (write(TOKENS, "{}"), "it has no model"),
        (grown, "its tokenizer has 501 ids, but there are 72 embeddings, none for 'grown'"),
    ],
)
def test_what_is_wrong_is_known_when_planning(
    change: Change, message: str, folder_of: Folder, tmp_path: Path
) -> None:
    shutil.copytree(folder_of("bert"), tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(HarnessError, match=message) as caught:
        Transformer(model=str(tmp_path / "model")).base()
    assert "\n" not in str(caught.value)


class Runs:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"a": Runs(folder / "was-run")}, folder / "pytorch_model.bin")


def spoil(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / WEIGHTS)
    weights[min(weights)][0] = float("nan")
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pickle, "contain more than tensors; save them as safetensors"),
        (spoil, "contains NaN or infinite numbers"),
        (configure(hidden_act="nope"), "transformers does not know 'nope'; check that config.json"),
        (configure(hidden_size="big"), "cannot read the configuration in .*hidden_size.*; check config.json"),
        (configure(num_hidden_layers=3), "16 are missing or have another shape"),
        (configure(model_type="vit"), "transformers has no model ForSequenceClassification"),
        (configure(TOKENS, version="9.0"), "cannot load the tokenizer in .*; save the tokenizer there again"),
    ],
)
def test_what_is_wrong_is_known_before_training(
    change: Change, message: str, folder_of: Folder, context: CheckContext, tmp_path: Path
) -> None:
    shutil.copytree(folder_of("bert"), tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(HarnessError, match=message) as caught:
        Transformer(model=str(tmp_path / "model"), epochs=1).fit(*tiny_examples(), context)
    assert "\n" not in str(caught.value) and not (tmp_path / "model" / "was-run").exists()


@pytest.mark.parametrize(
    ("content", "package"), [(b"\n\x0e\n\x05<unk>", "sentencepiece"), (b"IQ== 0\nIg== 1\n", "tiktoken")]
)
def test_the_package_that_a_tokenizer_needs_is_named(
    content: bytes, package: str, folder_of: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder_of("bert"), tmp_path / "model")
    after(without(TOKENS), write("tokenizer.model", content))(tmp_path / "model")
    monkeypatch.setattr("harness_transformers.inspection.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=f"tokenizer.model needs the package {package}; pip install"):
        check_folder(tmp_path / "model")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"x")
    with pytest.raises(HarnessError, match="expected a model folder, got the file"):
        check_folder(tmp_path / "a.bin")


def test_sound_folders_pass(folder_of: Folder, tmp_path: Path) -> None:
    assert check_folder(folder_of("bert"))["model_type"] == "bert"
    shutil.copytree(folder_of("bert"), tmp_path / "model")
    shards("a.safetensors")(tmp_path / "model")
    write("notes.md", "x")(tmp_path / "model")
    check_folder(tmp_path / "model")


def test_errors_of_libraries_have_one_line() -> None:
    with (
        pytest.raises(HarnessError, match=re.escape("cannot x: first: second; do y")),
        loading("cannot x", "do y"),
    ):
        raise RuntimeError("first:\n  second\nthird")
    with pytest.raises(MemoryError), loading("cannot x"):
        raise MemoryError
