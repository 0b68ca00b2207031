"""Where pretrained weights come from, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import HarnessError, Operations, Unavailable
from harness_transformers import weights
from harness_transformers.transformer import Transformer
from harness_transformers.weights import folder_fingerprint, hub_commit, hub_snapshot

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = "\x02" + 7 * "\0" + "{}"  # a safetensors file without tensors
FILES = {"config.json": "{}", "model.safetensors": WEIGHTS, "tokenizer.json": '{"model": {}}'}


def write(folder: Path, **changes: str | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    for name, content in changes.items():
        path = folder / name.replace("__", ".")
        path.write_text(content) if content is not None else path.unlink()
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Offline, with an empty cache; whoever asks the network nevertheless fails."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def cached(hub: Path, model: str = "owner/model", **changes: str | None) -> Path:
    """A snapshot in a hub cache, that the reference "main" names."""
    repository = hub / f"models--{model.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT + "\n")
    return write(repository / "snapshots" / COMMIT, **changes)


# -- folders --------------------------------------------------------------------------------------------


def test_a_folders_fingerprint_is_of_its_bytes(tmp_path: Path) -> None:
    first = folder_fingerprint(write(tmp_path / "a"))
    assert folder_fingerprint(write(tmp_path / "elsewhere")) == first
    (tmp_path / "a" / "README.md").write_text("read by no model")
    assert folder_fingerprint(tmp_path / "a") == first


@pytest.mark.parametrize(
    "changes",
    [
        {"model__safetensors": "\x03" + WEIGHTS[1:] + " "},
        {"tokenizer__json": '{"model": {"type": "BPE"}}'},
        {"config__json": "{ }"},
        {"vocab__txt": "new"},
        {"pytorch_model__bin": "weights too"},
        {"pytorch_model-00001-of-00002__bin": "a part of them"},
        {"tokenizer__json": None, "vocab__txt": "new"},
    ],
    ids=repr,
)
def test_any_other_byte_is_another_fingerprint(changes: dict[str, str | None], tmp_path: Path) -> None:
    assert folder_fingerprint(write(tmp_path / "a")) != folder_fingerprint(write(tmp_path / "b", **changes))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(HarnessError, match=r"cannot find a model in .*: config.json is missing"):
            Transformer(model=str(folder)).base()


def test_a_folder_may_be_written_as_users_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "models" / "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    expected = folder_fingerprint(tmp_path / "models" / "mine")
    for name in ("~/models/mine", "./models/mine", "models/mine", str(tmp_path / "models" / "mine")):
        teacher = Transformer(model=name)
        teacher.check()
        assert teacher.base() == expected
        assert (teacher.folder() / "config.json").read_text() == "{}"


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    teacher = Transformer(model=str(write(tmp_path / "a")), revision=COMMIT)
    with pytest.raises(ValueError, match=r"cannot use revision '0123.*': model .* is a folder"):
        teacher.check()
    Transformer(model="owner/model", revision=COMMIT).check()


# -- the hub's cache ------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_cached_model_needs_no_network(revision: str, tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "hub")
    assert hub_commit("owner/model", revision) == COMMIT
    assert hub_snapshot("owner/model", revision) == snapshot
    teacher = Transformer(model="owner/model", revision=revision)
    assert (teacher.base(), teacher.folder()) == (COMMIT, snapshot)


def test_the_operations_of_a_cached_model_are_known(tmp_path: Path) -> None:
    config = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2}
    teacher = Transformer(model="owner/model")
    assert teacher.operations(20) == Operations()
    cached(tmp_path / "hub", config__json=json.dumps(config))
    assert teacher.operations(20).label is not None


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("HF_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
        ("HOME", ".cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_hub_puts_it(
    variable: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv(variable, str(tmp_path / "mine"))
    snapshot = cached(tmp_path / "mine" / place)
    assert hub_snapshot("owner/model", "main") == snapshot


def test_a_model_whose_weights_are_pickled_counts_as_cached(tmp_path: Path) -> None:
    old = {"pytorch_model__bin": "\x80", "vocab__txt": "x"}
    cached(tmp_path / "hub", model__safetensors=None, tokenizer__json=None, **old)
    assert hub_commit("owner/model", "main") == COMMIT


@pytest.mark.parametrize(
    "lacking", [{"model__safetensors": None}, {"config__json": None}, {"tokenizer__json": None}], ids=repr
)
def test_half_a_download_is_not_cached(lacking: dict[str, None], tmp_path: Path) -> None:
    cached(tmp_path / "hub", **lacking)
    with pytest.raises(Unavailable):
        hub_commit("owner/model", "main")


@pytest.mark.parametrize("name", ["model{}.safetensors", "pytorch_model{}.bin"])
def test_all_parts_of_the_weights_must_be_there(name: str, tmp_path: Path) -> None:
    first, second = (name.format(f"-{part}-of-2") for part in (1, 2))
    snapshot = cached(tmp_path / "hub", model__safetensors=None)
    index = {"weight_map": {"a": first, "b": second}}
    (snapshot / f"{name.format('')}.index.json").write_text(json.dumps(index))
    (snapshot / first).write_text("x")
    with pytest.raises(Unavailable):
        hub_commit("owner/model", "main")
    (snapshot / second).write_text("x")
    assert hub_commit("owner/model", "main") == COMMIT


@pytest.mark.parametrize("revision", ["main", COMMIT, "v1.0", "refs/pr/3"])
def test_what_is_not_cached_is_said_in_one_sentence(revision: str, tmp_path: Path) -> None:
    cached(tmp_path / "hub", "owner/other")
    teacher = Transformer(model="owner/model", revision=revision)
    for ask in (teacher.base, teacher.folder):
        with pytest.raises(Unavailable, match="model 'owner/model': not in the hub's cache") as caught:
            ask()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 120


def test_without_an_answer_it_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    with pytest.raises(Unavailable, match="and the hub cannot be reached"):
        hub_commit("owner/model", "main")


def test_a_revision_is_asked_of_the_hub_where_the_cache_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weights, "hub_answers", lambda: True)
    monkeypatch.setattr(HfApi, "model_info", lambda *a, **o: SimpleNamespace(sha=COMMIT))
    assert hub_commit("owner/model", "v2") == COMMIT

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise HfHubHTTPError("404 Client Error", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr(HfApi, "model_info", refuse)
    with pytest.raises(Unavailable, match="cannot get model 'owner/model' at revision 'v2' from the hub"):
        hub_commit("owner/model", "v2")


def test_a_name_that_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weights, "hub_answers", lambda: True)
    with pytest.raises(HarnessError, match="model 'not a model': neither a folder nor a hub id"):
        hub_commit("not a model", "main")
