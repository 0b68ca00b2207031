"""Fixtures that tests share."""

from __future__ import annotations

import os

# Several processes at once, each with a thread for every core, mostly wait for each other in busy loops.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from components import Home, brief, inline, install_toys, installed
from local_hub import LocalHub, local_hub


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch works on one thread, so that nothing depends on how many a machine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def brief_latencies() -> Iterator[None]:
    """Latencies of steps in this process are timed for a moment."""
    with brief():
        yield


@pytest.fixture
def steps_inline() -> Iterator[None]:
    """The steps of commands in this process run here too, with little effort for latencies."""
    with inline():
        yield


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toys installed; not to be changed."""
    return install_toys(tmp_path_factory.mktemp("toys") / "site")


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A hub on this machine without repositories, for processes that get its `variables`."""
    with local_hub() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, toy_site: Path) -> Home:
    """A folder to run the command in, as a process of its own."""
    return Home(tmp_path, toy_site)


@pytest.fixture
def toys(home: Home) -> Iterator[Home]:
    """The same, with the toys installed for this process too."""
    with installed(home):
        yield home


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The address of a local S3 server."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    pytest.importorskip("moto.server", reason="moto's server is not installed")
    code = """if True:
        from moto.server import ThreadedMotoServer
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        print(server.get_host_and_port()[1], flush=True)
        input()
    """
    command = [sys.executable, "-c", code]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.kill()
    server.communicate()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import s3fs

    for name, value in (
        *(("AWS_ENDPOINT_URL", endpoint), ("AWS_DEFAULT_REGION", "us-east-1")),
        *(("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")),
    ):
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/stores/one"
