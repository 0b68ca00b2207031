"""The commands of the terminal, beside `harness.cli`, and what they show."""
