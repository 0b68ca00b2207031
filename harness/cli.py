"""Define the command group ``harness``.

Each command imports what it needs only when it runs, so that ``--help`` is fast.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from harness import __version__
from harness.commands.bench import bench
from harness.commands.compare import compare
from harness.commands.console import complain, discard_output, open_closed_streams
from harness.commands.data import data
from harness.commands.diagnose import diagnose
from harness.commands.distill import distill
from harness.commands.export import export
from harness.commands.leaderboard import leaderboard
from harness.commands.options import BAD_USAGE, HELP, OK, said
from harness.commands.plan import plan
from harness.commands.plugins import plugins
from harness.commands.predict import predict
from harness.commands.recommend import recommend
from harness.commands.report import report
from harness.commands.serve import serve
from harness.commands.store import store
from harness.commands.suites import suites
from harness.commands.verify import verify


class Program(click.Group):
    """The command group, which also handles standard streams that are closed or cannot be written."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the arguments name, and exit."""
        open_closed_streams()
        try:
            return super().main(*args, **kwargs)
        except SystemExit:
            if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # who read the help has read enough
                sys.exit(OK)
            raise
        except ModuleNotFoundError as error:
            if str(error.name).startswith("harness"):
                raise
            complain(
                f"error: {error}; install the packages for training: pip install 'distil-harness[train]'"
            )
            sys.exit(BAD_USAGE)
        except OSError as error:  # help, or a message about wrong usage, that cannot be written
            complain(f"error: stdout: {said(error)}")
            discard_output()
            sys.exit(BAD_USAGE)


@click.group(cls=Program, context_settings=HELP)
@click.version_option(__version__, prog_name="harness")
def main() -> None:
    """Benchmark knowledge distillation of text models.

    Measure how much of a large text model's accuracy a small one keeps, and which training recipe gets it
    there.
    """


for _command in (
    *(bench, plan, leaderboard, report, compare, recommend),
    *(export, predict, serve, distill, diagnose, data, verify, store, suites, plugins),
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
