"""Run the command with ``python -m harness``, if the ``harness`` script is not on the path."""

from harness.cli import main

if __name__ == "__main__":
    main(prog_name="harness")
