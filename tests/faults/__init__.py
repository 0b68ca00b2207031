"""Disturb runs from outside, and count what was lost or changed, and what did not end as it should.

`make faults` runs every trial and writes the figures; `make test` runs a few of each family. A family is a
module with a function `cases(whole)`, which lists independent :class:`~faults.judge.Case` objects.
"""
