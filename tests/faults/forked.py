"""Run commands in copies of one warm process, so that hundreds of mutated inputs take milliseconds each.

`python -m faults.forked` is the warm process: it imports the harness once, and copies itself (a fork)
for each request, a line of JSON on its standard input.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faults.world import Said, World

MEMORY = 6 * 2**30  # bytes of address space that a request may use


class Zygote:
    """The warm process, seen from outside."""

    def __init__(self, world: World, imports: str = "") -> None:
        self.world = world
        tests = str(Path(__file__).parents[1])
        variables = world.environment()
        variables["PYTHONPATH"] = os.pathsep.join([tests, variables["PYTHONPATH"]])
        command = [sys.executable, "-m", "faults.forked", *imports.split()]
        self.process = subprocess.Popen(
            command, cwd=world.folder, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, entry: str, *arguments: str, limit: float) -> Said:
        """Run a command ("command") or a function ("module:function") in a copy of the warm process."""
        from faults.world import Said, slowness

        limit = round(limit * slowness(), 1)
        assert self.process.stdin and self.process.stdout
        out, err = self.world.folder / "asked.out", self.world.folder / "asked.err"
        request = {"entry": entry, "arguments": arguments, "limit": limit, "out": str(out), "err": str(err)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if answer["endless"]:
            self.world.fault("endless", f"{entry} {' '.join(arguments)} did not end in {limit:g} s")
        texts = (path.read_bytes().decode(errors="replace") for path in (out, err))
        return Said(None if answer["endless"] else answer["status"], *texts)

    def end(self) -> None:
        """End the warm process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def zygote(world: World, imports: str = "") -> Iterator[Zygote]:
    """Lend a warm process."""
    lent = Zygote(world, imports)
    try:
        yield lent
    finally:
        lent.end()


# -- in the warm process ----------------------------------------------------------------------------------


def main() -> None:
    """Answer requests until the input ends."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    _warm_up()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")


def _warm_up() -> None:
    """Plan a suite once, and read its data, so that all that this imports is there."""
    from faults.suites import perform_all
    from harness.cli import main as command

    suite = Path("warm.toml")
    suite.write_text('[[task]]\nuse = "file"\ntrain = "toys.csv"\n[[student]]\nuse = "tfidf-logreg"\n')
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        with contextlib.suppress(SystemExit):
            command(["plan", suite.name], prog_name="harness")
        perform_all(suite.name, "store-warm", "data")


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _perform(request)
    deadline = time.monotonic() + request["limit"]
    delay = 0.001
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return {"status": os.waitstatus_to_exitcode(status), "endless": False}
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"status": None, "endless": True}
        time.sleep(delay)
        delay = min(0.02, delay * 1.3)


def _perform(request: dict[str, Any]) -> None:
    status = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.stdin.close()
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
        if request["entry"] == "command":
            from harness.cli import main as command

            command(request["arguments"], prog_name="harness")
        else:
            module, _, function = request["entry"].partition(":")
            getattr(importlib.import_module(module), function)(*request["arguments"])
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
