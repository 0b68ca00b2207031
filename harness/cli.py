"""Define the command group ``harness``.

Each command imports what it needs only when it runs, so that ``--help`` is fast.
"""

from __future__ import annotations

import click

from harness import __version__
from harness.commands.bench import bench
from harness.commands.compare import compare
from harness.commands.diagnose import diagnose
from harness.commands.distill import distill
from harness.commands.export import export
from harness.commands.leaderboard import leaderboard
from harness.commands.options import HELP
from harness.commands.plan import plan
from harness.commands.plugins import plugins
from harness.commands.predict import predict
from harness.commands.recommend import recommend
from harness.commands.report import report
from harness.commands.verify import verify


@click.group(context_settings=HELP)
@click.version_option(__version__, prog_name="harness")
def main() -> None:
    """Benchmark knowledge distillation of text models.

    Measure how much of a large text model's accuracy a small one keeps, and which training recipe gets it
    there.
    """


for _command in (
    *(bench, plan, leaderboard, report, compare, recommend),
    *(export, predict, distill, diagnose, verify, plugins),
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
